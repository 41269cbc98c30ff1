//! The arguments of `#[idempotent]` and `#[outbox]`, against the signature.

use proc_macro2::Ident;
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{FnArg, Path, ReceiverKind, Type, parse_quote};

use super::expression::{Purpose, Variables, example, expression};
use super::scope::scope;
use super::{batch, duration, handler_type, publish, value};
use crate::attr::Args;
use crate::errors::Errors;
use crate::function::{Attributes, Function};
use crate::model::{
    Batch, Claim, Expression, InFlight, Isolation, Outline, Output, Retry, Shape, Side, Terms,
};
use crate::tokens;

/// Checks all arguments. The outline is right even where another argument is wrong.
pub(super) fn check(
    function: &Function,
    attributes: Attributes,
    names: &Variables,
    shape: Option<&Shape>,
    errors: &mut Errors,
) -> (Outline, Terms) {
    let Attributes {
        mut idempotent,
        mut outbox,
    } = attributes;
    let keyed = idempotent.is_some();
    let runtime = runtime(idempotent.as_mut(), outbox.as_mut(), errors);
    if keyed && let Some(arg) = outbox.as_mut().and_then(|args| args.take("scope")) {
        errors.on(
            &arg.name,
            "beside `#[idempotent]` the scope is an argument of that attribute; move it there",
        );
    }
    let scope = scope(
        function,
        idempotent.as_mut().or(outbox.as_mut()),
        shape,
        errors,
    );
    let publish = publish::check(outbox, names, shape, errors);
    let mut outline = Outline {
        runtime,
        scope,
        keyed,
        replay: keyed,
        handler: None,
        batch: None,
    };
    if !keyed {
        batch::refuse_without(shape, errors);
    }
    let claim =
        idempotent.and_then(|args| claim(function, args, names, shape, &mut outline, errors));
    if let (Some(batch), Some(publish)) = (&outline.batch, &publish) {
        batch::refuse_topic(batch, publish, errors);
    }
    (outline, Terms { claim, publish })
}

fn runtime(idempotent: Option<&mut Args>, outbox: Option<&mut Args>, errors: &mut Errors) -> Path {
    let mut written = [idempotent, outbox]
        .into_iter()
        .flatten()
        .filter_map(|args| args.take("crate"))
        .collect::<Vec<_>>();
    if let [_, second] = written.as_slice()
        && tokens::text(&written[0].value) != tokens::text(&second.value)
    {
        errors.on(
            &second.name,
            "the two attributes name different crates; write `crate` once",
        );
    }
    written
        .drain(..)
        .next()
        .and_then(|arg| value::crate_path(&arg, errors))
        .unwrap_or_else(|| parse_quote!(::idem_runtime))
}

fn claim(
    function: &Function,
    mut args: Args,
    names: &Variables,
    shape: Option<&Shape>,
    outline: &mut Outline,
    errors: &mut Errors,
) -> Option<Claim> {
    let events = shared_terms(&mut args, names, shape, outline, errors);
    let names = match &events {
        Events::OneOf(names) => names,
        _ => names,
    };
    // They may well be right for the batch that could not be read.
    let readable = !matches!(events, Events::Unreadable);
    let batch = outline.batch.as_mut();
    let (key, fingerprint) = identity(&mut args, names, readable, batch, errors);
    if let Some(shape) = shape
        && shape.output.opaque
        && outline.replay
    {
        let (Side::Written(ok) | Side::Alias(ok)) = &shape.output.ok;
        errors.on(
            ok,
            "a result without a name cannot be stored for a replay; name its type, or add \
             `on_duplicate = \"skip\"`",
        );
    }
    if let Some(ok) = shape.and_then(|shape| borrowed_ok(&shape.output))
        && outline.replay
    {
        errors.on(
            ok,
            "a result that borrows cannot be stored for a replay; return an owned type, \
             or add `on_duplicate = \"skip\"`",
        );
    }
    let record = args
        .take("on_error")
        .and_then(|arg| value::choice(&arg, ["rollback", "record"], errors))
        == Some(false);
    let in_flight = args
        .take("in_flight")
        .and_then(|arg| duration::in_flight(&arg, errors))
        .unwrap_or(InFlight::Default);
    let retention = args
        .take("retention")
        .and_then(|arg| duration::retention(&arg, errors));
    let result_version = args
        .take("result_version")
        .and_then(|arg| value::integer(&arg, 1, errors))
        .unwrap_or(1);
    let hash_key = args.take("hash_key");
    if let Some(value) = hash_key.as_ref().and_then(|arg| arg.value.as_ref()) {
        errors.on(
            value,
            "`hash_key` is a flag; write it alone, or leave it out",
        );
    }
    let retry = args.take("retry");
    let isolation = args.take("isolation").and_then(|arg| {
        let level = value::isolation(&arg, errors)?;
        if retry.is_none() && !args.broken {
            errors.on(&arg.value, isolation_without_retry(level));
        }
        Some(level)
    });
    let retry = retry.and_then(|arg| {
        let times = value::integer(&arg, 0, errors).filter(|times| *times > 0)?;
        let span = arg.value.as_ref().map_or(arg.name.span(), Spanned::span);
        Some(Retry { times, span })
    });
    if let Some(FnArg::Receiver(receiver)) = function.sig.inputs.first()
        && !matches!(receiver.kind, ReceiverKind::Reference(..))
        && retry.is_some()
    {
        errors.on(
            receiver,
            "a retry runs the body again, which a `self` by value would not survive; take `&self`",
        );
    }
    outline.handler = args.take("handler").and_then(|arg| {
        handler_type::check(&arg, function, shape?, outline.batch.as_ref(), errors)
    });
    Some(Claim {
        key: key?,
        fingerprint,
        record,
        in_flight,
        retention,
        retry,
        isolation,
        result_version,
        hash_key: hash_key.is_some(),
    })
}

/// The key and the fingerprint.
fn identity(
    args: &mut Args,
    names: &Variables,
    readable: bool,
    batch: Option<&mut Batch>,
    errors: &mut Errors,
) -> (Option<Expression>, Option<Expression>) {
    let key = args.take("key");
    if key.is_none() && !args.broken {
        let example = example(&Ident::new("key", args.span), names);
        errors.at(
            args.span,
            format!(
                "missing argument `key`: the ID that makes two deliveries one message, {example}"
            ),
        );
    }
    let key = key
        .filter(|_| readable)
        .and_then(|arg| expression(&arg, Purpose::Key, names, errors));
    let fingerprint = args
        .take("fingerprint")
        .filter(|_| readable)
        .and_then(|arg| expression(&arg, Purpose::Fingerprint, names, errors));
    let fingerprint = match (batch, &key) {
        (Some(batch), Some(key)) => {
            if let Some(event) = tokens::variable(&key.tokens, &batch.event) {
                batch.event = event;
            }
            fingerprint.map(|fingerprint| Expression {
                tokens: tokens::resolved_as(&fingerprint.tokens, &batch.event),
                borrowed: tokens::resolved_as(&fingerprint.borrowed, &batch.event),
            })
        }
        _ => fingerprint,
    };
    (key, fingerprint)
}

/// What a key is for.
enum Events {
    /// The one event of a call.
    One,
    /// One event of a batch: its variables.
    OneOf(Variables),
    /// One event of a batch, of which something is wrong.
    Unreadable,
}

/// Reads what decides how callers see the function: `on_duplicate` and `batch`.
fn shared_terms(
    args: &mut Args,
    names: &Variables,
    shape: Option<&Shape>,
    outline: &mut Outline,
    errors: &mut Errors,
) -> Events {
    outline.replay = args
        .take("on_duplicate")
        .and_then(|arg| value::choice(&arg, ["replay", "skip"], errors))
        .unwrap_or(true);
    match (args.take("batch"), shape) {
        (Some(arg), Some(shape)) => {
            outline.batch = batch::check(&arg, outline.replay, names, shape, errors);
            match &outline.batch {
                Some(batch) => Events::OneOf(names.of_event(&batch.event, &batch.events)),
                None => Events::Unreadable,
            }
        }
        (Some(_), None) => Events::Unreadable,
        // `batch` may be what is broken.
        (None, _) if args.broken && names.slice.is_some() => Events::Unreadable,
        (None, _) if args.broken => Events::One,
        (None, shape) => {
            batch::refuse_without(shape, errors);
            Events::One
        }
    }
}

fn isolation_without_retry(level: Isolation) -> String {
    format!(
        "under `isolation = \"{}\"` the database aborts a transaction that conflicts with another; \
         add `retry = 3`, which runs the body again, or `retry = 0`, which leaves that to the next \
         delivery",
        level.text()
    )
}

/// The `Ok` type, if it holds a reference: what is read back from the database has nothing to point
/// to.
fn borrowed_ok(output: &Output) -> Option<&Type> {
    match &output.ok {
        Side::Written(ty) => {
            let tokens = ty.to_token_stream();
            tokens::any(&tokens, &mut |near| near.is_punct(0, '&')).then_some(ty)
        }
        Side::Alias(_) => None,
    }
}
