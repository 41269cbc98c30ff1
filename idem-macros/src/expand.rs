//! Model to tokens. Nothing in here can fail: what is wrong was said by `check`.
//!
//! Paths are absolute, names of our own are hygienic (`Span::mixed_site`), and calls into the runtime carry no span of the
//! user's: an error lands on the tokens that the user wrote.

mod body;
mod contract;
mod handler;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::Path;

use crate::check;
use crate::errors::Errors;
use crate::handler::Function;
use crate::model::{Outline, Scope, Shape, Side, Terms};
use crate::tokens;

/// A handler, wrapped.
pub(crate) fn wrapped(shape: &Shape, outline: &Outline, terms: &Terms) -> TokenStream {
    let body = body::of(shape, outline, terms);
    let mut function = function(
        shape,
        outline,
        terms
            .claim
            .as_ref()
            .is_some_and(|claim| claim.retry.is_some()),
    );
    function.extend(body);
    function.extend(handler::of(shape, outline));
    function
}

/// The signature that callers rely on beside the errors, so that they see no second ones.
pub(crate) fn fallback(shape: &Shape, outline: &Outline, errors: Errors) -> TokenStream {
    if shape.output.opaque {
        return errors.into_tokens();
    }
    let mut tokens = errors.into_tokens();
    tokens.extend(quote!(#[allow(unused_variables, unused_mut)]));
    tokens.extend(function(shape, outline, false));
    let imported = body::imported(shape.absorbed.as_ref());
    tokens.extend(quote!({ #imported ::core::unreachable!() }));
    tokens.extend(handler::of(shape, outline));
    tokens
}

/// The function as written, beside the errors, when its signature is no handler's.
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
    let attrs = attrs.iter().filter(|attr| !check::is_test(attr));
    // A body of our own has no value of an opaque type; one that is kept may have errors of its own.
    if tokens::contains_word(&sig.output, "impl") {
        return quote!(#errors #(#attrs)* #vis #sig #body);
    }
    quote!(#errors #(#attrs)* #[allow(unused_variables, unused_mut)] #vis #sig { #imported ::core::unreachable!() })
}

// Input:  #[doc = ".."] pub async fn f<'a>(&self, mut tx: &mut C, outbox: &mut Outbox<O>, event: &'a M) -> Result<T, E>
// Output: #[doc = ".."] pub async fn f<'a>(&self, tx: impl Begin<C>, event: &'a M) -> Result<Outcome<T>, Error<E>>
fn function(shape: &Shape, outline: &Outline, retried: bool) -> TokenStream {
    let Shape {
        attrs,
        vis,
        sig,
        tx,
        params,
        ..
    } = shape;
    let runtime = &outline.runtime;
    let (name, connection, tx_attrs) = (&tx.name, &tx.connection, &tx.attrs);
    let (fn_token, ident, generics) = (sig.fn_token, &sig.ident, &sig.generics);
    let (asyncness, where_clause) = (sig.asyncness, &sig.generics.where_clause);
    let receiver = sig.inputs.first().into_iter();
    let params = params.iter().map(|param| {
        if retried {
            body::without_mut(param)
        } else {
            param.clone()
        }
    });
    let output = output(shape, outline);
    quote! {
        #(#attrs)*
        #vis #asyncness #fn_token #ident #generics(
            #(#receiver,)*
            #(#tx_attrs)* #name: impl #runtime::Begin<#connection>,
            #(#params),*
        ) -> #output #where_clause
    }
}

/// What the generated function returns.
fn output(shape: &Shape, outline: &Outline) -> TokenStream {
    let runtime = &outline.runtime;
    let (ok, err) = (ok(shape, runtime), err(shape, runtime));
    let ok = match (outline.keyed, outline.replay) {
        (true, true) => quote!(#runtime::Outcome<#ok>),
        (true, false) => quote!(#runtime::Outcome<#ok, ()>),
        (false, _) => ok,
    };
    quote!(::core::result::Result<#ok, #runtime::Error<#err>>)
}

fn ok(shape: &Shape, runtime: &Path) -> TokenStream {
    match &shape.output.ok {
        Side::Written(ty) => ty.to_token_stream(),
        Side::Alias(result) => quote!(<#result as #runtime::__private::Returned>::Ok),
    }
}

fn err(shape: &Shape, runtime: &Path) -> TokenStream {
    match &shape.output.err {
        Side::Written(ty) => ty.to_token_stream(),
        Side::Alias(result) => quote!(<#result as #runtime::__private::Returned>::Err),
    }
}

fn scope(outline: &Outline) -> TokenStream {
    match &outline.scope {
        Scope::Literal(literal) => literal.to_token_stream(),
        Scope::Default(name) => {
            let name = format!("::{name}");
            quote!(::core::concat!(::core::module_path!(), #name))
        }
    }
}

#[cfg(test)]
mod tests;
