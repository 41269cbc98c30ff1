//! The body of a generated function: begin, the user's body, end.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Pat, PatType, Path};

use super::contract;
use super::parts::{
    at, fingerprint, is_reference, isolation as level, on_duplicate, on_error, scope,
};
use crate::function::bound_by;
use crate::model::{Batch, Claim, InFlight, Outline, Publish, Retry, Shape, Side, Terms};
use crate::tokens::located_at;

/// Names of our own, which no name of the user's can meet.
struct Names {
    call: Ident,
    spec: Ident,
    scope: Ident,
    span: Ident,
    done: Ident,
    ret: Ident,
    result: Ident,
    outbox: Ident,
    ordering_key: Ident,
    new: Ident,
}

impl Names {
    fn new() -> Self {
        let ident = |name| Ident::new(name, Span::mixed_site());
        Self {
            call: ident("__call"),
            spec: ident("__SPEC"),
            scope: ident("__SCOPE"),
            span: ident("__span"),
            done: ident("__done"),
            ret: ident("__ret"),
            result: ident("__result"),
            outbox: ident("__outbox"),
            ordering_key: ident("__ordering_key"),
            new: ident("__new"),
        }
    }
}

pub(super) fn of(shape: &Shape, outline: &Outline, terms: &Terms) -> TokenStream {
    let names = Names::new();
    let runtime = &outline.runtime;
    let Names {
        call,
        spec,
        scope: scope_name,
        done,
        ..
    } = &names;
    let scope = scope(outline);
    let settings = terms.claim.as_ref().map(|claim| settings(claim, runtime));
    let contract = contract::of(shape, outline, terms, scope_name);
    let open = open(shape, outline, terms, &names);
    let ordering_key = ordering_key(outline, terms, &names);
    let run = run(shape, outline, terms, &names);
    let begin = if outline.keyed {
        quote!(if let ::core::option::Option::Some(#done) = #call.begin().await { return #done; })
    } else {
        quote! {
            if let ::core::result::Result::Err(#done) = #call.begin().await {
                return ::core::result::Result::Err(#done);
            }
        }
    };
    let result = &names.result;
    let end = match &terms.claim {
        Some(claim) if claim.retry.is_some() => quote! {
            loop {
                #begin
                #run
                if let ::core::option::Option::Some(#done) = #call.end_or_retry(#result).await { return #done; }
            }
        },
        _ => quote!(#begin #run #call.end(#result).await),
    };
    let imported = imported(shape.absorbed.as_ref());
    // The user says that the body does not use it, and it does not: the call does.
    let unused = shape.tx.name.to_string().starts_with('_');
    let allowed = unused.then(|| quote!(#[allow(clippy::used_underscore_binding)]));
    let mut block = Group::new(
        Delimiter::Brace,
        quote! {
        #imported
        const #scope_name: &::core::primitive::str = #scope;
        static #spec: #runtime::__private::Spec = #runtime::__private::Spec::new(#scope_name) #settings;
        #contract
        #allowed
        let mut #call = #open;
        #ordering_key
        #end
        },
    );
    // rustc keeps quiet about dead code in what looks like another crate's macro.
    block.set_span(shape.body.span());
    block.into_token_stream()
}

/// An import that served only the attribute which was taken off would be reported as unused.
pub(super) fn imported(absorbed: Option<&Path>) -> Option<TokenStream> {
    let path = absorbed?;
    Some(quote!(#[allow(unused_imports)] use #path as _;))
}

/// What differs from the defaults of `Spec::new`.
fn settings(claim: &Claim, runtime: &Path) -> TokenStream {
    let mut settings = TokenStream::new();
    if claim.hash_key {
        settings.extend(quote!(.hash_key()));
    }
    match claim.in_flight {
        InFlight::Default => {}
        InFlight::WaitMillis(millis) => settings.extend(quote!(.wait_ms(#millis))),
        InFlight::Fail => settings.extend(quote!(.fail_in_flight())),
    }
    if let Some(retention) = &claim.retention {
        let millis = retention.millis;
        settings.extend(quote!(.retention_ms(#millis)));
    }
    if let Some(retry) = &claim.retry {
        let times = retry.times;
        settings.extend(quote!(.retry(#times)));
    }
    if let Some(isolation) = claim.isolation {
        let level = level(isolation, runtime);
        settings.extend(quote!(.isolation(#level)));
    }
    if claim.result_version != 1 {
        let version = claim.result_version;
        settings.extend(quote!(.result_version(#version)));
    }
    settings
}

fn open(shape: &Shape, outline: &Outline, terms: &Terms, names: &Names) -> TokenStream {
    let runtime = &outline.runtime;
    let (tx, spec) = (&shape.tx.name, &names.spec);
    // What the connection must be is demanded here, and said on its type.
    let at = at(&shape.tx.connection);
    let Some(claim) = &terms.claim else {
        let transaction = located_at(quote!(#runtime::__private::transaction), at);
        let arguments = quote!(#tx, &#spec);
        return quote_spanned!(at=> #transaction(#arguments));
    };
    let key = &claim.key.borrowed;
    let fingerprint = fingerprint(claim, runtime);
    let (call, identities) = match &outline.batch {
        None => (
            quote!(#runtime::__private::call),
            quote!(#runtime::__private::key(#key), #fingerprint),
        ),
        Some(Batch { event, events, .. }) => (
            quote!(#runtime::__private::batch),
            quote!(#events.iter().map(|&#event| (#runtime::__private::key(#key), #fingerprint))),
        ),
    };
    let call = located_at(call, at);
    let (on_duplicate, on_error) = (
        on_duplicate(shape, outline),
        on_error(shape, outline, claim),
    );
    let conflict = claim.retry.as_ref().map(|retry| conflict(retry, runtime));
    let arguments = quote! {
        #tx,
        &#spec,
        #identities,
        #on_duplicate,
        #on_error,
    };
    let call = quote_spanned!(at=> #call(#arguments));
    quote!(#call #conflict)
}

/// How the database's error is found in the handler's. Method resolution decides, so the error's
/// type is needed here.
fn conflict(retry: &Retry, runtime: &Path) -> TokenStream {
    let error = Ident::new("__error", Span::mixed_site());
    let find = quote_spanned!(Span::mixed_site().located_at(retry.span)=> database_error);
    quote! {
        .conflict(|#error| {
            #[allow(unused_imports)]
            use #runtime::__private::{ViaError as _, ViaLocal as _, ViaNothing as _, ViaShared as _};
            (&&&&#runtime::__private::Probe(#error)).#find()
        })
    }
}

/// Computed before the body, which may move the parameters.
fn ordering_key(outline: &Outline, terms: &Terms, names: &Names) -> Option<TokenStream> {
    let runtime = &outline.runtime;
    let name = &names.ordering_key;
    let publish = terms.publish.as_ref()?;
    Some(match &publish.key {
        None => quote!(let #name = ::core::option::Option::None;),
        Some(expression) => {
            let key = &expression.borrowed;
            quote!(let #name = ::core::option::Option::Some(#runtime::__private::ordering_key(#key));)
        }
    })
}

// The block checks the body against the result's type on the user's own tokens, `?` and the tail
// alike, without a warning; it moves what the parameters own, as the body of the function as
// written would.
fn run(shape: &Shape, outline: &Outline, terms: &Terms, names: &Names) -> TokenStream {
    let Names {
        call,
        span,
        ret,
        result,
        outbox,
        ..
    } = names;
    let (tx, mutability, connection) = (&shape.tx.name, shape.tx.mutability, &shape.tx.connection);
    let (output, body) = (&shape.output.result, &shape.body);
    let retried = terms
        .claim
        .as_ref()
        .is_some_and(|claim| claim.retry.is_some());
    let clones = retried.then(|| clones(&shape.params));
    let (open_outbox, bind_outbox, emit) = match (&shape.outbox, &terms.publish) {
        (Some(param), _) => {
            let (pat, ty, events) = (&param.pat, &param.ty, &param.events);
            (
                Some(quote!(let mut #outbox = #call.outbox::<#events>();)),
                Some(quote!(let #pat: #ty = &mut #outbox;)),
                Some(quote!(#call.emit(#outbox);)),
            )
        }
        (None, Some(Publish { topic, key, kind })) => {
            let key_name = &names.ordering_key;
            let (Side::Written(ty) | Side::Alias(ty)) = &shape.output.ok;
            let emit_value = Ident::new("emit_value", Span::mixed_site().located_at(ty.span()));
            let key = if retried && key.is_some() {
                quote!(#key_name.clone())
            } else {
                key_name.to_token_stream()
            };
            (
                None,
                None,
                Some(quote!(#call.#emit_value(#topic, #kind, #key, &#result);)),
            )
        }
        (None, None) => (None, None, None),
    };
    // Located on the body, so that an error in what the block captures or holds across an await is
    // shown there.
    let at = Span::mixed_site().located_at(body.span());
    let mut block = Group::new(
        Delimiter::Brace,
        quote! {
            if let ::core::option::Option::Some(#ret) = ::core::option::Option::None::<#output> { return #ret; }
            let #ret: #output = #body;
            #[allow(unreachable_code)]
            return #ret;
        },
    );
    block.set_span(at);
    let block = quote_spanned!(at=> async move #block);
    let (find_new, bind_new) = new_events(shape, outline, names).unzip();
    quote! {
        #open_outbox
        #clones
        #find_new
        let #span = #call.span();
        let #mutability #tx: &mut #connection = #call.connection();
        #bind_outbox
        #bind_new
        let #result = #span.within(#block).await;
        #emit
    }
}

/// What the body of a batch handler gets in place of what its caller passed.
fn new_events(
    shape: &Shape,
    outline: &Outline,
    names: &Names,
) -> Option<(TokenStream, TokenStream)> {
    let events = &outline.batch.as_ref()?.events;
    let (call, new) = (&names.call, &names.new);
    let pat = shape.params.iter().find_map(|param| match &*param.pat {
        Pat::Ident(pat) if pat.ident == *events => Some(pat),
        _ => None,
    })?;
    Some((
        quote!(let #new = #call.new_events(#events);),
        quote!(let #pat = &#new[..];),
    ))
}

/// A body that runs again must find what it moved the last time.
fn clones(params: &[PatType]) -> TokenStream {
    let owned = params.iter().filter(|param| !is_reference(&param.ty));
    owned
        .flat_map(|param| {
            bound_by([param]).into_iter().map(|name| {
                let mutability = match &*param.pat {
                    Pat::Ident(pat) => pat.mutability,
                    _ => None,
                };
                let clone = quote_spanned!(Span::mixed_site().located_at(name.span())=> ::core::clone::Clone::clone(&#name));
                quote!(let #mutability #name = #clone;)
            })
        })
        .collect()
}
