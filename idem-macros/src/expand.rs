//! Model to tokens. Nothing in here can fail: what is wrong was said by `check`.
//!
//! Paths are absolute, names of our own are hygienic (`Span::mixed_site`), and calls into the
//! runtime carry no span of the user's: an error lands on the tokens that the user wrote.

mod body;
mod contract;
mod handler;
mod parts;
mod signature;

use proc_macro2::TokenStream;
use quote::quote;

use self::signature::signature;
use crate::errors::Errors;
use crate::function::{Function, is_test};
use crate::model::{Outline, Shape, Terms};
use crate::tokens;

/// A handler, wrapped.
pub(crate) fn wrapped(shape: &Shape, outline: &Outline, terms: &Terms) -> TokenStream {
    let body = body::of(shape, outline, terms);
    let mut function = signature(
        shape,
        outline,
        terms
            .claim
            .as_ref()
            .is_some_and(|claim| claim.retry.is_some()),
    );
    function.extend(body);
    function.extend(handler::of(shape, outline, terms.claim.as_ref()));
    function
}

/// The signature that callers rely on, next to the errors, so that callers cause no further errors.
pub(crate) fn fallback(shape: &Shape, outline: &Outline, errors: Errors) -> TokenStream {
    if shape.output.opaque {
        return errors.into_tokens();
    }
    let mut tokens = errors.into_tokens();
    tokens.extend(quote!(#[allow(unused_variables, unused_mut)]));
    tokens.extend(signature(shape, outline, false));
    let imported = body::imported(shape.absorbed.as_ref());
    tokens.extend(quote!({ #imported ::core::unreachable!() }));
    tokens.extend(handler::of(shape, outline, None));
    tokens
}

/// The function as written, next to the errors, when its signature is not that of a handler.
pub(crate) fn refused(function: &Function, errors: Errors) -> TokenStream {
    let errors = errors.into_tokens();
    let Function {
        attrs,
        vis,
        sig,
        body,
        absorbed,
    } = function;
    let imported = body::imported(absorbed.as_ref());
    if sig.ident == "main" {
        return quote!(#errors fn main() {});
    }
    let attrs = attrs.iter().filter(|attr| !is_test(attr));
    // A body of our own has no value of an opaque type; one that is kept may have errors of its
    // own.
    if tokens::contains_word(&sig.output, "impl") {
        return quote!(#errors #(#attrs)* #vis #sig #body);
    }
    quote!(#errors #(#attrs)* #[allow(unused_variables, unused_mut)] #vis #sig { #imported ::core::unreachable!() })
}
