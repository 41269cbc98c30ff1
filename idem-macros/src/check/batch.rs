//! `batch = "event in events"`: a function that takes many events at once.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use syn::{LitStr, Pat, PatType, Type, parse_quote};

use super::expression::Variables;
use super::types::{is_path_to, last_segment, type_arguments, ungrouped};
use super::value;
use crate::attr::Arg;
use crate::errors::{Errors, did_you_mean};
use crate::function::bindings;
use crate::model::{Batch, Publish, Shape, Side};
use crate::tokens;

const EXAMPLE: &str = "event in events";

/// Whether the function and its argument `batch` fit each other.
pub(super) fn check(
    arg: &Arg,
    replay: bool,
    names: &Variables,
    shape: &Shape,
    errors: &mut Errors,
) -> Option<Batch> {
    let literal = value::string(arg, EXAMPLE, errors)?;
    let (event, events) = names_of(&literal, errors)?;
    let (param, events) = slice(&literal, &events, shape, errors)?;
    if names.values.contains(&event) || names.transaction.as_ref() == Some(&event) {
        errors.on(
            &literal,
            format!("`{event}` is a parameter already; give one event of `{events}` another name"),
        );
        return None;
    }
    let event_type = event_type(param, errors);
    let result = result(replay, shape, errors);
    if let Some(outbox) = shape.outbox.as_ref().filter(|outbox| !outbox.batch) {
        let emitted = tokens::text(&outbox.events);
        errors.on(
            &outbox.ty,
            format!(
                "in a batch each emitted event belongs to one of `{events}`: take `&mut BatchOutbox<{emitted}>`, and \
                 emit by `outbox.of(place).emit(..)`"
            ),
        );
    }
    Some(Batch {
        event,
        events,
        event_type: event_type?,
        result: result?,
    })
}

/// The parameter that looks like that of a batch handler: `&[&T]`.
pub(super) fn looks_like_events(param: &PatType) -> Option<Ident> {
    let Type::Reference(reference) = ungrouped(&param.ty) else {
        return None;
    };
    let Type::Slice(slice) = ungrouped(&reference.elem) else {
        return None;
    };
    match (ungrouped(&slice.elem), &*param.pat) {
        (Type::Reference(_), Pat::Ident(pat)) => Some(pat.ident.clone()),
        _ => None,
    }
}

/// What only a batch handler may have, without `batch`.
pub(super) fn refuse_without(shape: Option<&Shape>, errors: &mut Errors) {
    let outbox = shape.and_then(|shape| shape.outbox.as_ref());
    if let Some(outbox) = outbox.filter(|outbox| outbox.batch) {
        let emitted = tokens::text(&outbox.events);
        errors.on(
            &outbox.ty,
            format!(
                "a `BatchOutbox` is for a handler of many events: add `batch = \"{EXAMPLE}\"` to `#[idempotent]`, or take \
                 `&mut Outbox<{emitted}>`"
            ),
        );
    }
}

/// The `Ok` value as the event is for a handler of one event.
pub(super) fn refuse_topic(batch: &Batch, publish: &Publish, errors: &mut Errors) {
    errors.on(
        &publish.topic,
        format!(
            "a batch handler returns many values, and none of them is an event: take `outbox: &mut BatchOutbox<E>` before \
             `{}`, and declare the topic on the event, by `#[event(topic = ..)]`",
            batch.events
        ),
    );
}

/// `event` and `events` of `"event in events"`.
fn names_of(literal: &LitStr, errors: &mut Errors) -> Option<(Ident, Ident)> {
    let value = literal.value();
    let trees: Vec<TokenTree> = value
        .parse::<TokenStream>()
        .map(|tokens| tokens.into_iter().collect())
        .unwrap_or_default();
    if let [
        TokenTree::Ident(event),
        TokenTree::Ident(word),
        TokenTree::Ident(events),
    ] = trees.as_slice()
        && word == "in"
    {
        // Resolved where the attribute stands, as the variables of a key in quotes are.
        let span = Span::call_site().located_at(literal.span());
        let located = |ident: &Ident| Ident::new(&ident.to_string(), span);
        return Some((located(event), located(events)));
    }
    errors.on(
        literal,
        format!(
            "`batch` names one event and the parameter that holds all of them, e.g. `batch = \"{EXAMPLE}\"`; the key is \
             then made of `event`"
        ),
    );
    None
}

/// The parameter that holds the events.
fn slice<'a>(
    literal: &LitStr,
    events: &Ident,
    shape: &'a Shape,
    errors: &mut Errors,
) -> Option<(&'a PatType, Ident)> {
    let mut names = Vec::new();
    for param in &shape.params {
        let mut bound = Vec::new();
        bindings(&param.pat, &mut bound);
        if bound.contains(events) {
            if let Pat::Ident(pat) = &*param.pat
                && pat.subpat.is_none()
            {
                // A macro may have passed on the parameter, and not the literal.
                return Some((param, pat.ident.clone()));
            }
            errors.on(
                &param.pat,
                format!("the body gets another slice than the caller passes: write `{events}: &[&T]`, without a pattern"),
            );
            return None;
        }
        names.extend(bound);
    }
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let hint = did_you_mean(&events.to_string(), names.iter().map(String::as_str));
    errors.on(
        literal,
        format!(
            "no parameter `{events}`{}",
            hint.unwrap_or_else(|| format!(
                "; take it after the transaction: `{events}: &[&PaymentCaptured]`"
            ))
        ),
    );
    None
}

/// `&T` of `&[&T]`.
fn event_type(param: &PatType, errors: &mut Errors) -> Option<Type> {
    let slice = match ungrouped(&param.ty) {
        Type::Reference(reference) if reference.mutability.is_none() => {
            match ungrouped(&reference.elem) {
                Type::Slice(slice) => Some(ungrouped(&slice.elem)),
                _ => None,
            }
        }
        _ => None,
    };
    let why = "a batch handler takes `&[&T]`: the body gets those events alone that are new, borrowed from the caller";
    match slice {
        Some(event @ Type::Reference(reference)) if reference.mutability.is_none() => {
            return Some(event.clone());
        }
        Some(Type::Reference(_)) | None => errors.on(&param.ty, why),
        Some(event) => {
            let event = tokens::text(event);
            errors.on(&param.ty, format!("{why}; write `&[&{event}]`"));
        }
    }
    None
}

/// `R` of `Result<Vec<R>, E>`, or `()` of `Result<(), E>`.
fn result(replay: bool, shape: &Shape, errors: &mut Errors) -> Option<Type> {
    let each = "a batch handler returns one result for each event, in the order of the slice";
    let ok = match &shape.output.ok {
        Side::Written(ok) => ungrouped(ok),
        Side::Alias(alias) => {
            errors.on(
                alias,
                format!("{each}; write `Result<Vec<T>, E>` out, since the alias hides the `Vec`"),
            );
            return None;
        }
    };
    if matches!(ok, Type::Tuple(tuple) if tuple.elems.is_empty()) {
        if replay {
            errors.on(
                ok,
                format!(
                    "{each}; return `Result<Vec<T>, E>`, or add `on_duplicate = \"skip\"` where there is nothing to return"
                ),
            );
        }
        return Some(parse_quote!(()));
    }
    let result = is_path_to(ok, &["Vec"])
        .then(|| last_segment(ok).and_then(type_arguments))
        .flatten();
    if let Some([result]) = result.as_deref() {
        return Some((*result).clone());
    }
    let result = match ok {
        Type::Array(array) => tokens::text(&array.elem),
        other => tokens::text(other),
    };
    errors.on(ok, format!("{each}; return `Result<Vec<{result}>, E>`"));
    None
}
