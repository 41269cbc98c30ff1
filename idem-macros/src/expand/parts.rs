//! What several parts of an expansion say alike: types of the user's, the scope, the fingerprint.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{PatType, Path, Type, parse_quote};

use crate::function::bound_by;
use crate::model::{Claim, Isolation, Outline, Scope, Shape, Side};
use crate::tokens;

/// What one delivery gets.
pub(super) fn ok(shape: &Shape, outline: &Outline) -> TokenStream {
    if let Some(batch) = &outline.batch {
        return batch.result.to_token_stream();
    }
    match &shape.output.ok {
        Side::Written(ty) => ty.to_token_stream(),
        Side::Alias(result) => returned(result, &outline.runtime, &quote!(Ok)),
    }
}

/// What a duplicate gets.
pub(super) fn replay(ok: &TokenStream, outline: &Outline) -> TokenStream {
    if outline.replay {
        // The same tokens twice: an error in them is then reported once.
        ok.clone()
    } else {
        quote!(())
    }
}

/// The parameters that a key may use: of a batch, one event in place of all.
pub(super) fn key_params(shape: &Shape, outline: &Outline) -> Vec<PatType> {
    let Some(batch) = &outline.batch else {
        return shape.params.clone();
    };
    let of_event = |param: &PatType| {
        if bound_by([param]).contains(&batch.events) {
            let (event, ty) = (&batch.event, &batch.event_type);
            parse_quote!(#event: #ty)
        } else {
            param.clone()
        }
    };
    shape.params.iter().map(of_event).collect()
}

pub(super) fn err(shape: &Shape, runtime: &Path) -> TokenStream {
    match &shape.output.err {
        Side::Written(ty) => ty.to_token_stream(),
        Side::Alias(result) => returned(result, runtime, &quote!(Err)),
    }
}

/// One side of an alias, located on it.
fn returned(result: &Type, runtime: &Path, side: &TokenStream) -> TokenStream {
    let at = result.span();
    let returned = tokens::located_at(quote!(#runtime::__private::Returned), at);
    let side = tokens::located_at(side.clone(), at);
    quote_spanned!(at=> <#result as #returned>::#side)
}

/// Where a type of the user's stands.
pub(super) fn at(ty: &Type) -> Span {
    Span::call_site().located_at(ty.span())
}

pub(super) fn scope(outline: &Outline) -> TokenStream {
    match &outline.scope {
        Scope::Literal(literal) => literal.to_token_stream(),
        Scope::Default(name) => {
            let name = format!("::{name}");
            quote!(::core::concat!(::core::module_path!(), #name))
        }
    }
}

pub(super) fn is_reference(ty: &Type) -> bool {
    match ty {
        Type::Reference(_) => true,
        Type::Group(group) => is_reference(&group.elem),
        Type::Paren(paren) => is_reference(&paren.elem),
        _ => false,
    }
}

pub(super) fn isolation(level: Isolation, runtime: &Path) -> TokenStream {
    let level = match level {
        Isolation::Serializable => quote!(Serializable),
        Isolation::RepeatableRead => quote!(RepeatableRead),
    };
    quote!(#runtime::__private::Isolation::#level)
}

/// The fingerprint of a call, in its stored form.
pub(super) fn fingerprint(claim: &Claim, runtime: &Path) -> TokenStream {
    match &claim.fingerprint {
        None => quote!(::core::option::Option::None),
        Some(expression) => {
            let fingerprint = &expression.borrowed;
            quote!(::core::option::Option::Some(#runtime::__private::key(#fingerprint).erase()))
        }
    }
}

/// What a duplicate gets, as the runtime's codec.
pub(super) fn on_duplicate(shape: &Shape, outline: &Outline) -> TokenStream {
    let runtime = &outline.runtime;
    let ok = ok(shape, outline);
    match (outline.replay, shape.output.opaque) {
        (true, _) => {
            let equality = equality(&ok, runtime);
            quote!(#runtime::__private::replay::<#ok>(#equality))
        }
        (false, false) => quote!(#runtime::__private::skip::<#ok>()),
        (false, true) => quote!(#runtime::__private::skip()),
    }
}

/// What becomes of an error, as the runtime's codec.
pub(super) fn on_error(shape: &Shape, outline: &Outline, claim: &Claim) -> TokenStream {
    let runtime = &outline.runtime;
    let err = err(shape, runtime);
    if claim.record {
        let equality = equality(&err, runtime);
        quote!(#runtime::__private::record::<#err>(#equality))
    } else {
        quote!(#runtime::__private::rollback::<#err>())
    }
}

/// `==`, if the type has it. Method resolution decides, so the type is needed here.
fn equality(ty: &TokenStream, runtime: &Path) -> TokenStream {
    quote!(#runtime::__private::equality::<#ty>().find())
}
