//! What callers see: the function without its body.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Pat, PatType};

use super::parts::{at, err, is_reference, ok, replay};
use crate::model::{Outline, Shape, Side};
use crate::tokens;

// Input:  pub async fn f<'a>(&self, mut tx: &mut C, outbox: &mut Outbox<O>, event: &'a M)
//             -> Result<T, E>
// Output: pub async fn f<'a>(&self, tx: impl Begin<C>, event: &'a M)
//             -> Result<Outcome<T>, Error<E>>
pub(super) fn signature(shape: &Shape, outline: &Outline, retried: bool) -> TokenStream {
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
        let is_slice = outline.batch.as_ref().is_some_and(
            |batch| matches!(&*param.pat, Pat::Ident(pat) if pat.ident == batch.events),
        );
        // The body has its own.
        if is_slice || retried && !is_reference(&param.ty) {
            without_mut(param)
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
    let (ok, err) = (ok(shape, outline), err(shape, runtime));
    let ok = match (outline.keyed, outline.replay) {
        _ if outline.batch.is_some() => {
            let replay = replay(&ok, outline);
            quote!(::std::vec::Vec<#runtime::BatchEntry<#ok, #replay, #err>>)
        }
        (true, true) => quote!(#runtime::Outcome<#ok>),
        (true, false) => quote!(#runtime::Outcome<#ok, ()>),
        (false, _) => ok,
    };
    let arguments = quote!(#ok, #runtime::Error<#err>);
    // rustc reports an alias that hides no `Result` twice, and shows one error where both are at
    // the same place.
    let span = match &shape.output.ok {
        Side::Written(_) => Span::call_site(),
        Side::Alias(result) => result.span(),
    };
    quote_spanned!(span=> ::core::result::Result<#arguments>)
}

/// The body's own copy is what it may change.
fn without_mut(param: &PatType) -> PatType {
    let mut param = param.clone();
    if let Pat::Ident(pat) = &mut *param.pat {
        pat.mutability = None;
    }
    param
}
