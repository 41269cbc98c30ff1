//! `handler = ApplyPayment`: a function that a consumer can call by a type's name.

use quote::ToTokens;
use syn::Type;

use super::scope::shared_path;
use super::types::{is_path_to, last_segment, type_arguments, ungrouped};
use super::value;
use crate::attr::Arg;
use crate::errors::Errors;
use crate::function::{Function, bound_by};
use crate::model::{Batch, HandlerType, Shape};
use crate::tokens;

pub(super) fn check(
    arg: &Arg,
    function: &Function,
    shape: &Shape,
    batch: Option<&Batch>,
    errors: &mut Errors,
) -> Option<HandlerType> {
    let name = value::type_name(arg, errors)?;
    let sig = &shape.sig;
    let fits = "`handler` fits a free function of `(tx, &message)` or `(tx, &message, &context)`";
    if let Some((tokens, _)) = shared_path(function) {
        errors.on(
            tokens,
            format!("{fits}, without generics; take `run_with` of the consumer for this one"),
        );
        return None;
    }
    let (message, context) = match shape.params.as_slice() {
        [message] => (message, None),
        [message, context] => (message, Some(context)),
        [] => {
            errors.on(&sig.ident, format!("{fits}; this one takes no message"));
            return None;
        }
        [_, _, third, ..] => {
            errors.on(
                third,
                format!("{fits}; put what else it needs into the context"),
            );
            return None;
        }
    };
    let message_type = match batch {
        None => shared(&message.ty),
        Some(batch) if bound_by([message]).contains(&batch.events) => shared(&batch.event_type),
        Some(batch) => {
            errors.on(
                &message.pat,
                format!(
                    "{fits}; of a batch the first parameter after the transaction is `{}`",
                    batch.events
                ),
            );
            return None;
        }
    };
    let context_type = context.map(|context| shared(&context.ty));
    if message_type.is_none() {
        errors.on(
            &message.ty,
            format!("{fits}; take the message by shared reference"),
        );
    }
    if let (Some(context), Some(None)) = (context, &context_type) {
        errors.on(
            &context.ty,
            format!("{fits}; take the context by shared reference"),
        );
    }
    if shape.output.opaque {
        errors.on(
            &sig.output,
            "a `Handler` names its output; write a type in place of `impl Trait`",
        );
    }
    let (message, context) = (
        message_type?,
        match context_type {
            Some(context) => Some(context?),
            None => None,
        },
    );
    let borrows = |ty: &&Type| {
        tokens::any(&ty.to_token_stream(), &mut |near| {
            near.is_punct(-1, '\'') && near.ident().is_some_and(|name| name != "static")
        })
    };
    if let Some(ty) = std::iter::once(&message).chain(&context).find(borrows) {
        errors.on(
            ty,
            "a `Handler` owns the data of its message and context; use a type without a lifetime",
        );
        return None;
    }
    let received = is_path_to(&message, &["Received"])
        .then(|| last_segment(&message).and_then(type_arguments))
        .flatten();
    let (message, envelope) = match received.as_deref() {
        Some([data]) => ((*data).clone(), true),
        _ => (message, false),
    };
    Some(HandlerType {
        name,
        message,
        envelope,
        context,
    })
}

/// `T` of `&T`.
fn shared(ty: &Type) -> Option<Type> {
    match ungrouped(ty) {
        Type::Reference(reference) if reference.mutability.is_none() => {
            Some((*reference.elem).clone())
        }
        _ => None,
    }
}
