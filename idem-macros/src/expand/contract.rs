//! The registration of a handler's contract, which becomes its line in `idem.lock`.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use syn::{GenericParam, Pat, Path};

use crate::handler::bound_by;
use crate::model::{Claim, Outline, Shape, Side, Terms};
use crate::tokens::{self, text};

pub(super) fn of(shape: &Shape, outline: &Outline, terms: &Terms, scope: &Ident) -> TokenStream {
    let runtime = &outline.runtime;
    let claim = terms.claim.as_ref();
    let key = optional(claim.map(|claim| text(&claim.key.tokens)));
    let key_type = claim.map_or_else(
        || quote!(::std::string::String::new),
        |claim| {
            key_type(shape, claim, runtime)
                .unwrap_or_else(|| quote!(|| ::std::string::String::from("_")))
        },
    );
    let fingerprint = optional(
        claim
            .and_then(|claim| claim.fingerprint.as_ref())
            .map(|expression| text(&expression.tokens)),
    );
    let duplicate = match claim {
        Some(claim) if outline.replay => {
            format!("replay:{}@{}", result_name(shape), claim.result_version)
        }
        Some(_) => "skip".to_owned(),
        None => "-".to_owned(),
    };
    let error = if claim.is_some_and(|claim| claim.record) {
        "record"
    } else {
        "rollback"
    };
    let retention = match claim {
        Some(claim) => claim
            .retention
            .as_ref()
            .map_or("forever", |retention| &retention.text),
        None => "-",
    };
    let emits = emits(shape, outline, terms);
    quote! {
        #runtime::__private::inventory::submit! {
            #runtime::__private::Contract {
                package: ::core::env!("CARGO_PKG_NAME"),
                file: ::core::file!(),
                line: ::core::line!(),
                scope: #scope,
                key: #key,
                key_type: #key_type,
                fingerprint: #fingerprint,
                duplicate: #duplicate,
                error: #error,
                retention: #retention,
                emits: #emits,
            }
        }
    }
}

fn optional(text: Option<String>) -> TokenStream {
    text.map_or_else(
        || quote!(::core::option::Option::None),
        |text| quote!(::core::option::Option::Some(#text)),
    )
}

/// The name of what is stored, as it is written.
fn result_name(shape: &Shape) -> String {
    match &shape.output.ok {
        Side::Written(ty) | Side::Alias(ty) => text(ty),
    }
}

/// A function that names the key's type. No token of the attribute tells it: inference does, over the parameters that the key
/// mentions. `None` where an item inside of the function cannot name their types.
fn key_type(shape: &Shape, claim: &Claim, runtime: &Path) -> Option<TokenStream> {
    let expression = &claim.key;
    if !shape.sig.inputs.is_empty() || !nameable(shape, &expression.tokens) {
        return None;
    }
    let lifetimes: Vec<Ident> = shape
        .sig
        .generics
        .lifetimes()
        .map(|param| param.lifetime.ident.clone())
        .collect();
    let (mut pats, mut types, mut simple) = (Vec::new(), Vec::new(), true);
    for param in &shape.params {
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
    let call = quote!(#runtime::__private::key_type::<(#(#types,)*), _, _>);
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

/// Whether an item inside of the function can say these tokens: it knows neither the function's generics nor `Self`.
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

fn emits(shape: &Shape, outline: &Outline, terms: &Terms) -> TokenStream {
    let runtime = &outline.runtime;
    match (&shape.outbox, &terms.publish) {
        (Some(outbox), _) if nameable(shape, &outbox.events.to_token_stream()) => {
            let lifetimes: Vec<Ident> = shape
                .sig
                .generics
                .lifetimes()
                .map(|param| param.lifetime.ident.clone())
                .collect();
            let events = tokens::erase_lifetimes(outbox.events.to_token_stream(), &lifetimes);
            quote!(<#events as #runtime::__private::EventSet>::topics)
        }
        (Some(_), _) => quote!(|| ::std::vec!["_"]),
        (None, Some(publish)) => {
            let topic = &publish.topic;
            quote!(|| ::std::vec![#topic])
        }
        (None, None) => quote!(::std::vec::Vec::new),
    }
}
