//! What several parts of an expansion say alike: types of the user's, the scope, the fingerprint.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Path, Type};

use crate::model::{Claim, Outline, Scope, Shape, Side};
use crate::tokens;

pub(super) fn ok(shape: &Shape, runtime: &Path) -> TokenStream {
    match &shape.output.ok {
        Side::Written(ty) => ty.to_token_stream(),
        Side::Alias(result) => returned(result, runtime, &quote!(Ok)),
    }
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
    let ok = ok(shape, runtime);
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
