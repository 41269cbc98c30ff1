//! `#[outbox]`: what a function publishes, and how.

use syn::LitStr;

use super::expression::{Purpose, Variables, expression};
use super::types::last_segment;
use super::value;
use crate::attr::Args;
use crate::errors::Errors;
use crate::model::{Publish, Shape, Side};
use crate::tokens;

/// What `#[outbox]` publishes of its own.
pub(super) fn check(
    outbox: Option<Args>,
    names: &Variables,
    shape: Option<&Shape>,
    errors: &mut Errors,
) -> Option<Publish> {
    let param = shape.and_then(|shape| shape.outbox.as_ref());
    let Some(mut args) = outbox else {
        if let Some(param) = param {
            errors.on(
                &param.ty,
                "an `Outbox` parameter needs `#[outbox]` on the function; add it next to \
                 `#[idempotent]`",
            );
        }
        return None;
    };
    let (topic, key, kind) = (args.take("topic"), args.take("key"), args.take("type"));
    if let Some(param) = param {
        let events = tokens::text(&param.events);
        for arg in [&topic, &key, &kind].into_iter().flatten() {
            let name = &arg.name;
            errors.on(
                name,
                format!(
                    "with an `Outbox` parameter `{name}` is declared by the event: \
                     `#[event({name} = ..)]` on `{events}`"
                ),
            );
        }
        return None;
    }
    let Some(topic) = topic else {
        if let Some(key) = &key {
            errors.on(
                &key.name,
                "an ordering key without a topic publishes nothing; add `topic = \
                 \"orders.placed\"`",
            );
        } else if shape.is_some() && !args.broken && names.outbox.is_none() {
            errors.at(
                args.span,
                "`#[outbox]` publishes nothing here: take `outbox: &mut Outbox<E>` \
                 after the transaction, \
                 or name the topic of the returned event: `#[outbox(topic = \"orders.placed\")]`",
            );
        }
        return None;
    };
    let key = key.and_then(|arg| expression(&arg, Purpose::Ordering, names, errors));
    let topic = value::topic(&topic, "orders.placed", errors)?;
    let name = event_name(shape?, errors)?;
    let kind = match kind {
        Some(arg) => value::topic(&arg, "OrderPlaced", errors)?,
        None => name,
    };
    Some(Publish { topic, key, kind })
}

/// The name of the `Ok` type, which is the event.
fn event_name(shape: &Shape, errors: &mut Errors) -> Option<LitStr> {
    let (Side::Written(ty) | Side::Alias(ty)) = &shape.output.ok;
    match (&shape.output.ok, last_segment(ty)) {
        (Side::Written(_), Some(segment)) if !shape.output.opaque => Some(LitStr::new(
            &segment.ident.to_string(),
            segment.ident.span(),
        )),
        _ => {
            errors.on(
                ty,
                "with a `topic` the `Ok` value is the event; return a named type: \
                 `Result<OrderPlaced, E>`",
            );
            None
        }
    }
}
