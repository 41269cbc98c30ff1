//! The outbox among the parameters.

use syn::{Pat, PatType, Type};

use crate::check::types::{is_path_to, last_segment, pointee, type_arguments, ungrouped};
use crate::errors::Errors;
use crate::model::OutboxParam;

pub(super) fn outbox_param(param: &PatType, errors: &mut Errors) -> Option<OutboxParam> {
    let batch = is_path_to(pointee(&param.ty), &["BatchOutbox"]);
    let name = if batch { "BatchOutbox" } else { "Outbox" };
    let Type::Reference(reference) = ungrouped(&param.ty) else {
        errors.on(
            &param.ty,
            format!("the outbox is borrowed: write `outbox: &mut {name}<E>`"),
        );
        return None;
    };
    if reference.mutability.is_none() {
        errors.on(
            &param.ty,
            format!("emitting changes the outbox: write `&mut {name}<E>`"),
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
            format!(
                "name what may be emitted: `&mut {name}<OrderPlaced>`, or a tuple of event types"
            ),
        );
        return None;
    };
    Some(OutboxParam {
        pat: (*param.pat).clone(),
        ty: (*param.ty).clone(),
        events: (*events).clone(),
        batch,
    })
}
