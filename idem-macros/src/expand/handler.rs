//! `handler = ApplyPayment`: a unit struct that stands for the function where a type is asked for.

use proc_macro2::TokenStream;
use quote::quote;

use super::types::{err, ok, scope};
use crate::model::{Outline, Shape};

// Input:  #[idempotent(handler = ApplyPayment, ..)] pub async fn apply_payment(tx: &mut C, event: &M) -> Result<T, E>
// Output: pub struct ApplyPayment; impl Handler for ApplyPayment { .. apply_payment(begin, &message.data) .. }
pub(super) fn of(shape: &Shape, outline: &Outline) -> Option<TokenStream> {
    let handler = outline.handler.as_ref()?;
    let runtime = &outline.runtime;
    let (name, vis, function) = (&handler.name, &shape.vis, &shape.sig.ident);
    let (connection, message) = (&shape.tx.connection, &handler.message);
    let (ok, err, scope) = (ok(shape, runtime), err(shape, runtime), scope(outline));
    let replay = if outline.replay {
        quote!(Self::Output)
    } else {
        quote!(())
    };
    let argument = if handler.envelope {
        quote!(message)
    } else {
        quote!(&message.data)
    };
    let (context, rest) = match &handler.context {
        Some(context) => (quote!(#context), quote!(, context)),
        None => (quote!(()), quote!()),
    };
    let ignored = handler.context.is_none().then(|| quote!(_));
    let context_name = ignored.unwrap_or_else(|| quote!(context));
    let doc = format!(
        "[`{function}`] as a [`Handler`]({}::Handler).",
        crate::tokens::text(runtime)
    );
    Some(quote! {
        #[doc = #doc]
        #vis struct #name;
        impl #runtime::Handler for #name {
            type Database = <#connection as #runtime::__private::Connection>::Database;
            type Message = #message;
            type Context = #context;
            type Output = #ok;
            type Replay = #replay;
            type Error = #err;
            const SCOPE: &'static ::core::primitive::str = #scope;
            async fn call<B: #runtime::Begin<#connection>>(
                begin: B,
                message: &#runtime::Received<Self::Message>,
                #context_name: &Self::Context,
            ) -> ::core::result::Result<#runtime::Outcome<Self::Output, Self::Replay>, #runtime::Error<Self::Error>> {
                #function(begin, #argument #rest).await
            }
        }
    })
}
