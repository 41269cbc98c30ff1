//! Attribute macros of `idem-runtime`, which re-exports and documents them: depend on that crate,
//! not on this one.
//!
//! Tokens in, tokens out: `attr` reads arguments, `function` reads the function, `check` holds
//! every rule and every message, `model` is what passed, `expand` writes it out, and `handler`
//! drives them. Nothing in here knows SQL, a database or a broker.

mod attr;
mod check;
mod errors;
mod event;
mod expand;
mod function;
mod handler;
mod key;
mod model;
#[cfg(test)]
mod snapshots;
mod tokens;

use proc_macro::TokenStream;

/// # What it expands to
///
/// The first example's handler, as `cargo expand` shows it:
///
/// ```text
#[doc = include_str!("../snapshots/apply_payment.rs")]
/// ```
#[proc_macro_attribute]
pub fn idempotent(args: TokenStream, item: TokenStream) -> TokenStream {
    handler::transform(attr::Macro::Idempotent, args.into(), item.into()).into()
}

/// # What it expands to
///
/// With an `Outbox` parameter, under `#[idempotent]`:
///
/// ```text
#[doc = include_str!("../snapshots/place_order.rs")]
/// ```
#[proc_macro_attribute]
pub fn outbox(args: TokenStream, item: TokenStream) -> TokenStream {
    handler::transform(attr::Macro::Outbox, args.into(), item.into()).into()
}

/// Declares a type as an event with a topic: see `idem_runtime::Event`.
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(item: TokenStream) -> TokenStream {
    event::derive(item.into()).into()
}

/// Lets a newtype stand as a key: see `idem_runtime::Key`.
#[proc_macro_derive(Key, attributes(key))]
pub fn derive_key(item: TokenStream) -> TokenStream {
    key::derive(item.into()).into()
}
