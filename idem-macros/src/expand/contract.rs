//! The registration of a handler's contract, which becomes its line in `idem.lock`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{GenericParam, Pat, Path};

use super::parts::key_params;
use crate::function::bound_by;
use crate::model::{Claim, Outline, Shape, Side, Terms};
use crate::tokens::{self, located_at, text};

pub(super) fn of(shape: &Shape, outline: &Outline, terms: &Terms, scope: &Ident) -> TokenStream {
    let runtime = &outline.runtime;
    let function = shape.sig.ident.to_string();
    let key = terms.claim.as_ref().map(|claim| key(shape, outline, claim));
    let raises = raises(shape, runtime);
    let emits = emits(shape, outline, terms).map(|events| quote!(.emits(#events)));
    quote! {
        #runtime::__private::inventory::submit! {
            #runtime::__private::Contract::new(::core::env!("CARGO_PKG_NAME"), #scope, #function)
                #key #raises #emits
        }
    }
}

/// What `#[idempotent]` promises, and differs from the defaults of `Contract::new`.
fn key(shape: &Shape, outline: &Outline, claim: &Claim) -> TokenStream {
    let key = text(&claim.key.tokens);
    let key_type = key_type(shape, outline, claim)
        .unwrap_or_else(|| quote!(|| ::std::string::String::from("_")));
    let duplicate = if outline.replay {
        let result = result_name(shape, outline);
        format!("replay:{result}@{}", claim.result_version)
    } else {
        "skip".to_owned()
    };
    let fingerprint = claim.fingerprint.as_ref().map(|expression| {
        let fingerprint = text(&expression.tokens);
        quote!(.fingerprint(#fingerprint))
    });
    let record = claim.record.then(|| quote!(.record()));
    let retention = claim.retention.as_ref().map(|retention| {
        let retention = &retention.text;
        quote!(.retention(#retention))
    });
    let isolation = claim.isolation.map(|isolation| {
        let isolation = isolation.text();
        quote!(.isolation(#isolation))
    });
    let hash_key = claim.hash_key.then(|| quote!(.hash_key()));
    let batch = outline.batch.is_some().then(|| quote!(.batch()));
    quote!(.key(#key, #key_type, #duplicate) #hash_key #fingerprint #record #retention #isolation #batch)
}

/// How its error is found in that of a call, for the `retry` of a handler that calls this one.
/// `None` where an item inside of the function cannot name the error's type.
fn raises(shape: &Shape, runtime: &Path) -> Option<TokenStream> {
    // An alias that is no `Result` is reported where the handler ends, and not here once more.
    let result = match &shape.output.err {
        Side::Written(error) => quote!(::core::result::Result<(), #error>),
        Side::Alias(result) => result.to_token_stream(),
    };
    if !nameable(shape, &result) {
        return None;
    }
    let result = tokens::erase_lifetimes(result, &lifetimes(shape));
    Some(quote!(.raises(|| #runtime::__private::error_of::<#result>().find())))
}

/// The name of what is stored, as it is written.
fn result_name(shape: &Shape, outline: &Outline) -> String {
    if let Some(batch) = &outline.batch {
        return text(&batch.result);
    }
    match &shape.output.ok {
        Side::Written(ty) | Side::Alias(ty) => text(ty),
    }
}

/// A function that names the key's type. No token of the attribute tells it: inference does, over
/// the parameters that the key mentions. `None` where an item inside of the function cannot name
/// their types.
fn key_type(shape: &Shape, outline: &Outline, claim: &Claim) -> Option<TokenStream> {
    let runtime = &outline.runtime;
    let expression = &claim.key;
    if !shape.sig.inputs.is_empty() || !nameable(shape, &expression.tokens) {
        return None;
    }
    let lifetimes = lifetimes(shape);
    let (mut pats, mut types, mut simple) = (Vec::new(), Vec::new(), true);
    for param in &key_params(shape, outline) {
        let names = bound_by([param]);
        if !names
            .iter()
            .any(|name| tokens::mentions(&expression.tokens, name))
        {
            continue;
        }
        let ty = param.ty.to_token_stream();
        if !nameable(shape, &ty) {
            return None;
        }
        match &*param.pat {
            Pat::Ident(pat) if pat.subpat.is_none() => pats.push(pat.ident.to_token_stream()),
            pat => {
                simple = false;
                pats.push(pat.to_token_stream());
            }
        }
        types.push(tokens::erase_lifetimes(ty, &lifetimes));
    }
    let key = &expression.borrowed;
    let probe = quote!(|(#(#pats,)*)| #runtime::__private::key(#key));
    // rustc shows one error only where two say the same of the same place.
    let on_key = key
        .clone()
        .into_iter()
        .next()
        .map_or_else(Span::mixed_site, |first| first.span());
    let call = located_at(quote!(#runtime::__private::key_type), on_key);
    let call = quote_spanned!(on_key=> #call::<(#(#types,)*), _, _>);
    Some(if simple {
        quote!(|| #call(#probe))
    } else {
        quote! {
            || {
                #[allow(unused_variables, unused_mut)]
                let name = #call(#probe);
                name
            }
        }
    })
}

/// Whether an item inside of the function can say these tokens: it knows neither the function's
/// generics nor `Self`.
fn nameable(shape: &Shape, tokens: &TokenStream) -> bool {
    let generic = shape.sig.generics.params.iter().any(|param| match param {
        GenericParam::Type(param) => tokens::contains_word(tokens, &param.ident.to_string()),
        GenericParam::Const(param) => tokens::contains_word(tokens, &param.ident.to_string()),
        GenericParam::Lifetime(_) => false,
    });
    !generic
        && ["Self", "self", "impl"]
            .iter()
            .all(|word| !tokens::contains_word(tokens, word))
}

/// A function that returns the contracts of its events; `None` if it emits none.
fn emits(shape: &Shape, outline: &Outline, terms: &Terms) -> Option<TokenStream> {
    let runtime = &outline.runtime;
    if let Some(publish) = &terms.publish {
        let (topic, kind) = (&publish.topic, &publish.kind);
        let key = publish
            .key
            .as_ref()
            .map_or_else(|| "-".to_owned(), |key| text(&key.tokens));
        return Some(quote! {
            || ::std::vec![#runtime::__private::EventContract::new(#topic, #kind, #key)]
        });
    }
    let events = shape.outbox.as_ref()?.events.to_token_stream();
    if !nameable(shape, &events) {
        return Some(quote!(
            || ::std::vec![#runtime::__private::EventContract::UNKNOWN]
        ));
    }
    let events = tokens::erase_lifetimes(events, &lifetimes(shape));
    Some(quote!(<#events as #runtime::__private::EventSet>::contracts))
}

fn lifetimes(shape: &Shape) -> Vec<Ident> {
    let generics = &shape.sig.generics;
    generics
        .lifetimes()
        .map(|param| param.lifetime.ident.clone())
        .collect()
}
