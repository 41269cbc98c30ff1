//! `handler = ApplyPayment`: a unit struct that stands for the function where a type is asked for.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};

use super::parts::{
    err, fingerprint, isolation, key_params, ok, on_duplicate, on_error, replay, scope,
};
use crate::function::bound_by;
use crate::model::{Claim, HandlerType, Outline, Shape};
use crate::tokens::{self, located_at, mentions, text};

// Input:  #[idempotent(handler = ApplyPayment, ..)]
//         pub async fn apply_payment(tx: &mut C, event: &M) -> Result<T, E>
// Output: pub struct ApplyPayment;
//         impl Handler for ApplyPayment { .. apply_payment(begin, &message.data) .. }
pub(super) fn of(shape: &Shape, outline: &Outline, claim: Option<&Claim>) -> Option<TokenStream> {
    let handler = outline.handler.as_ref()?;
    let runtime = &outline.runtime;
    let (name, vis, function) = (&handler.name, &shape.vis, &shape.sig.ident);
    let (connection, message) = (&shape.tx.connection, &handler.message);
    let (ok, err, scope) = (ok(shape, outline), err(shape, runtime), scope(outline));
    let replay = replay(&ok, outline);
    let context = handler
        .context
        .as_ref()
        .map_or_else(|| quote!(()), ToTokens::to_token_stream);
    let constants = constants(shape, outline, claim);
    let identity = identity(shape, handler, claim, outline);
    let replayer = replayer(shape, claim, outline);
    let call = call(shape, handler, outline);
    let doc = format!(
        "[`{function}`] as a [`Handler`]({}::Handler).",
        text(runtime)
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
            #constants
            #identity
            #replayer
            #call
        }
    })
}

fn constants(shape: &Shape, outline: &Outline, claim: Option<&Claim>) -> TokenStream {
    let runtime = &outline.runtime;
    let hash_key = claim.is_some_and(|claim| claim.hash_key);
    let retention = match claim.and_then(|claim| claim.retention.as_ref()) {
        None => quote!(::core::option::Option::None),
        Some(retention) => {
            let millis = retention.millis;
            quote!(::core::option::Option::Some(::core::time::Duration::from_millis(#millis)))
        }
    };
    let batch = outline.batch.is_some().then(|| {
        quote!(
            const BATCH: ::core::primitive::bool = true;
        )
    });
    let isolation = claim.and_then(|claim| claim.isolation).map(|level| {
        let level = isolation(level, runtime);
        quote!(const ISOLATION: ::core::option::Option<#runtime::__private::Isolation> = ::core::option::Option::Some(#level);)
    });
    let sets = sets(&shape.body.stream()).then(|| {
        quote!(
            const SETS: ::core::primitive::bool = true;
        )
    });
    quote! {
        const RETENTION: ::core::option::Option<::core::time::Duration> = #retention;
        const HASH_KEY: ::core::primitive::bool = #hash_key;
        #batch
        #isolation
        #sets
    }
}

/// Whether SQL in the body changes a setting, as far as its text shows.
fn sets(body: &TokenStream) -> bool {
    tokens::any(body, &mut |near| {
        let TokenTree::Literal(literal) = near.token() else {
            return false;
        };
        let sql = literal.to_string().to_lowercase();
        let settings = [
            "set local ",
            "set session ",
            "set role ",
            "set search_path ",
        ];
        sql.contains("set_config")
            || settings.iter().any(|start| {
                // A column of that name is set by `=`.
                sql.split(start)
                    .skip(1)
                    .any(|rest| *start == "set search_path " || !rest.trim_start().starts_with('='))
            })
    })
}

/// The key and the fingerprint, computed as the function computes them.
fn identity(
    shape: &Shape,
    handler: &HandlerType,
    claim: Option<&Claim>,
    outline: &Outline,
) -> TokenStream {
    let runtime = &outline.runtime;
    let ident = |name| Ident::new(name, Span::mixed_site());
    let (message, context) = (ident("__message"), ident("__context"));
    let body = match claim {
        // Only together with an error of the attribute, which ends the compilation.
        None => quote!(::core::unreachable!()),
        Some(claim) => {
            let arguments = [handler.argument(&message), quote!(#context)];
            let params = key_params(shape, outline);
            let bindings = params
                .iter()
                .zip(arguments)
                .filter_map(|(param, argument)| {
                    let used = bound_by([param]).iter().any(|name| claim.mentions(name));
                    let pat = &param.pat;
                    used.then(
                        || quote!(#[allow(unused_variables, unused_mut)] let #pat = #argument;),
                    )
                });
            let (key, fingerprint) = (&claim.key.borrowed, fingerprint(claim, runtime));
            quote! {
                #(#bindings)*
                #runtime::__private::identity(
                    #runtime::__private::key(#key),
                    #fingerprint,
                    Self::HASH_KEY,
                )
            }
        }
    };
    quote! {
        fn identity(
            #message: &#runtime::Received<Self::Message>,
            #context: &Self::Context,
        ) -> #runtime::Identity {
            #body
        }
    }
}

fn replayer(shape: &Shape, claim: Option<&Claim>, outline: &Outline) -> TokenStream {
    let runtime = &outline.runtime;
    let body = match claim {
        None => quote!(::core::unreachable!()),
        Some(claim) => {
            let (on_duplicate, on_error) = (
                on_duplicate(shape, outline),
                on_error(shape, outline, claim),
            );
            let version = claim.result_version;
            quote!(#runtime::__private::Replayer::new(#on_duplicate, #on_error, #version))
        }
    };
    quote! {
        fn replayer() -> #runtime::__private::Replayer<Self::Output, Self::Replay, Self::Error> {
            #body
        }
    }
}

fn call(shape: &Shape, handler: &HandlerType, outline: &Outline) -> TokenStream {
    let runtime = &outline.runtime;
    let (connection, function) = (&shape.tx.connection, &shape.sig.ident);
    let argument = handler.argument(&Ident::new("message", Span::call_site()));
    let (context, rest) = match &handler.context {
        Some(_) => (quote!(context), quote!(, context)),
        None => (quote!(_), quote!()),
    };
    let (passed, called) = if outline.batch.is_some() {
        (
            quote!(context),
            quote!(#runtime::__private::only::<Self, B>(begin, message, context).await),
        )
    } else {
        (
            context.clone(),
            quote!(#function(begin, #argument #rest).await),
        )
    };
    let mut call = quote! {
        async fn call<B: #runtime::Begin<#connection>>(
            begin: B,
            message: &#runtime::Received<Self::Message>,
            #passed: &Self::Context,
        ) -> ::core::result::Result<
            #runtime::Outcome<Self::Output, Self::Replay>,
            #runtime::Error<Self::Error>,
        > {
            #called
        }
    };
    if outline.batch.is_some() {
        let events = if handler.envelope {
            quote!(deliveries)
        } else {
            quote!(
                &deliveries
                    .iter()
                    .map(|delivery| &delivery.data)
                    .collect::<::std::vec::Vec<_>>()
            )
        };
        call.extend(quote! {
            async fn call_batch<B: #runtime::Begin<#connection>>(
                begin: B,
                deliveries: &[&#runtime::Received<Self::Message>],
                #context: &Self::Context,
            ) -> ::core::result::Result<
                ::std::vec::Vec<#runtime::BatchEntry<Self::Output, Self::Replay, Self::Error>>,
                #runtime::Error<Self::Error>,
            > {
                #function(begin, #events #rest).await
            }
        });
    }
    // A body that is not `Send` is refused here, on the argument that asked for it.
    located_at(call, Span::call_site().located_at(handler.name.span()))
}

impl HandlerType {
    /// What the function takes as its message, made of a `&Received<M>`.
    fn argument(&self, message: &Ident) -> TokenStream {
        if self.envelope {
            quote!(#message)
        } else {
            quote!(&#message.data)
        }
    }
}

impl Claim {
    /// Whether the key or the fingerprint uses the variable.
    fn mentions(&self, name: &Ident) -> bool {
        std::iter::once(&self.key)
            .chain(&self.fingerprint)
            .any(|expression| mentions(&expression.tokens, name))
    }
}
