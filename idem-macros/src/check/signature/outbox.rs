//! The outbox among the parameters.

use syn::{Pat, PatType, Type};

use crate::check::types::{last_segment, type_arguments, ungrouped};
use crate::errors::Errors;
use crate::model::OutboxParam;

pub(super) fn outbox_param(param: &PatType, errors: &mut Errors) -> Option<OutboxParam> {
    let Type::Reference(reference) = ungrouped(&param.ty) else {
        errors.on(
            &param.ty,
            "the outbox is borrowed: write `outbox: &mut Outbox<E>`",
        );
        return None;
    };
    if reference.mutability.is_none() {
        errors.on(
            &param.ty,
            "emitting changes the outbox: write `&mut Outbox<E>`",
        );
    }
    if let Pat::Wild(wild) = &*param.pat {
        errors.on(
            wild,
            "an outbox without a name emits nothing; name it `outbox`, or remove it",
        );
    }
    let arguments = last_segment(&reference.elem).and_then(type_arguments);
    let Some([events]) = arguments.as_deref() else {
        errors.on(
            &param.ty,
            "name what may be emitted: `&mut Outbox<OrderPlaced>`, or a tuple of event types",
        );
        return None;
    };
    Some(OutboxParam {
        pat: (*param.pat).clone(),
        ty: (*param.ty).clone(),
        events: (*events).clone(),
    })
}
