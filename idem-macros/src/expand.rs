//! Model to tokens. Nothing in here can fail: what is wrong was said by `check`.
//!
//! Paths are absolute, names of our own are hygienic (`Span::mixed_site`), and calls into the runtime carry no span of the
//! user's: an error lands on the tokens that the user wrote.

mod body;
mod contract;
mod handler;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Path, Type};

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
    // Located on the type that it stands for: there a caller's error shows what was asked for.
    let at = at(connection);
    let begin = tokens::located_at(quote!(impl #runtime::Begin), at);
    let begin = quote_spanned!(at=> #begin<#connection>);
    quote! {
        #(#attrs)*
        #vis #asyncness #fn_token #ident #generics(
            #(#receiver,)*
            #(#tx_attrs)* #name: #begin,
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
    let arguments = quote!(#ok, #runtime::Error<#err>);
    // An alias that hides no `Result` is told of twice by rustc, and shown once where both are told of the same place.
    let span = match &shape.output.ok {
        Side::Written(_) => Span::call_site(),
        Side::Alias(result) => result.span(),
    };
    quote_spanned!(span=> ::core::result::Result<#arguments>)
}

fn ok(shape: &Shape, runtime: &Path) -> TokenStream {
    match &shape.output.ok {
        Side::Written(ty) => ty.to_token_stream(),
        Side::Alias(result) => returned(result, runtime, &quote!(Ok)),
    }
}

fn err(shape: &Shape, runtime: &Path) -> TokenStream {
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
fn at(ty: &Type) -> Span {
    Span::call_site().located_at(ty.span())
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
