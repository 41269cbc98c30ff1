//! The signature: a transaction first, parameters that stay, `Result` out.

mod lifetimes;
mod outbox;
mod output;
mod transaction;

use syn::{FnArg, Pat, Safety, Signature, Token};

use self::lifetimes::without_unused_lifetimes;
use self::outbox::outbox_param;
use self::output::{output, returns_future};
use self::transaction::{is_connection, transaction};
use super::batch::looks_like_events;
use super::expression::Variables;
use super::types::{is_path_to, pointee};
use crate::attr::Macro;
use crate::errors::Errors;
use crate::function::{Function, bindings};
use crate::model::{OutboxParam, Shape};

/// Checks the signature. The names are those that a key's expression may use, also when the
/// signature does not fit.
pub(super) fn check(
    function: &Function,
    attribute: Macro,
    errors: &mut Errors,
) -> (Variables, Option<Shape>) {
    let mut sig = function.sig.clone();
    qualifiers(&mut sig, attribute, errors);
    let mut names = Variables::default();
    let mut inputs = std::mem::take(&mut sig.inputs).into_iter().peekable();
    sig.inputs
        .extend(inputs.next_if(|input| matches!(input, FnArg::Receiver(_))));
    let mut typed = inputs.filter_map(|input| match input {
        FnArg::Typed(typed) => Some(typed),
        FnArg::Receiver(_) => None,
    });
    let tx = transaction(&sig, &mut typed, &mut names, errors);
    let mut outbox: Option<OutboxParam> = None;
    let mut params = Vec::new();
    for param in typed {
        if is_path_to(pointee(&param.ty), &["Outbox", "BatchOutbox"]) {
            let parsed = outbox_param(&param, errors);
            if outbox.is_some() {
                errors.on(
                    &param,
                    "two `Outbox` parameters; take one over a tuple: `outbox: &mut \
                     Outbox<(First, Second)>`",
                );
            }
            if let Pat::Ident(pat) = &*param.pat {
                names.outbox = Some(pat.ident.clone());
            }
            outbox = outbox.or(parsed);
            continue;
        }
        if let Some(tx) = &tx
            && is_connection(&param.ty, Some(&tx.connection))
        {
            let first = &tx.name;
            errors.on(
                &param.ty,
                format!(
                    "a handler has one transaction, and `{first}` is it; remove this parameter"
                ),
            );
        }
        bindings(&param.pat, &mut names.values);
        params.push(param);
    }
    names.slice = params.iter().find_map(looks_like_events);
    let output = output(&sig, errors);
    let shape = tx.zip(output).map(|(tx, output)| Shape {
        attrs: function.attrs.clone(),
        absorbed: function.absorbed.clone(),
        vis: function.vis.clone(),
        sig: without_unused_lifetimes(sig, function, &params),
        tx,
        outbox,
        params,
        output,
        body: function.body.clone(),
    });
    (names, shape)
}

/// `async fn`, and nothing else before the name. What is wrong is taken off, so that the rest can
/// still be emitted.
fn qualifiers(sig: &mut Signature, attribute: Macro, errors: &mut Errors) {
    let name = attribute.display();
    if let Some(constness) = sig.constness.take() {
        errors.on(
            constness,
            format!(
                "`{name}` does not fit a `const fn`: a handler talks to a database; write \
             `async fn`"
            ),
        );
    } else if sig.asyncness.is_none() && returns_future(&sig.output).is_none() {
        errors.on(
            sig.fn_token,
            format!("`{name}` needs an `async fn`: a handler awaits its transaction"),
        );
    }
    if let Some(abi) = sig.abi.take() {
        errors.on(
            abi,
            format!(
                "`{name}` does not fit an `extern` function: it becomes generic; remove `extern`"
            ),
        );
    }
    if let Safety::Unsafe(unsafety) = std::mem::take(&mut sig.safety) {
        errors.on(
            unsafety,
            format!("`{name}` does not fit an `unsafe fn`; write an `unsafe` block in the body"),
        );
    }
    sig.asyncness = sig
        .asyncness
        .or_else(|| Some(Token![async](sig.fn_token.span)));
}

pub(super) fn is_rewritten_by_async_trait(sig: &Signature) -> bool {
    sig.generics
        .lifetimes()
        .any(|param| param.lifetime.ident == "async_trait")
}
