//! What the function returns: a `Result`, whose two sides may be written or hidden by an alias.

use quote::ToTokens;
use syn::{GenericArgument, PathArguments, ReturnType, Signature, Type, parse_quote};

use crate::check::types::{is_path_to, last_segment, type_arguments, ungrouped};
use crate::errors::Errors;
use crate::model::{Output, Side};
use crate::tokens;

pub(super) fn output(sig: &Signature, errors: &mut Errors) -> Option<Output> {
    let why = "an `Err` is what rolls the transaction back";
    let ReturnType::Type(_, ty) = &sig.output else {
        errors.on(
            &sig.ident,
            format!("`{}` must return `Result<T, E>`: {why}", sig.ident),
        );
        return None;
    };
    if let Some(future) = returns_future(&sig.output) {
        errors.on(
            future,
            "write `async fn` that returns the `Result` itself: the body must run inside \
             of the transaction",
        );
        return None;
    }
    let ty = ungrouped(ty);
    let Some(segment) =
        last_segment(ty).filter(|segment| segment.ident.to_string().ends_with("Result"))
    else {
        errors.on(ty, format!("a handler returns `Result<T, E>`: {why}"));
        return None;
    };
    let (ok, err) = match type_arguments(segment).unwrap_or_default().as_slice() {
        [ok, err] if segment.ident == "Result" => {
            (Side::Written((*ok).clone()), Side::Written((*err).clone()))
        }
        [ok] if segment.ident == "Result" => {
            (Side::Written((*ok).clone()), Side::Alias(ty.clone()))
        }
        _ => (Side::Alias(ty.clone()), Side::Alias(ty.clone())),
    };
    if let Side::Written(err) = &err
        && tokens::contains_word(err, "impl")
    {
        errors.on(
            err,
            "the error needs a name: write its type in place of `impl Trait`",
        );
        return None;
    }
    let opaque = tokens::contains_word(ty, "impl");
    let mut inferred = ty.clone();
    infer_opaque(&mut inferred);
    Some(Output {
        result: inferred.to_token_stream(),
        ok,
        err,
        opaque,
    })
}

/// `impl Future` or `Pin<Box<dyn Future>>`.
pub(super) fn returns_future(output: &ReturnType) -> Option<&Type> {
    match output {
        ReturnType::Type(_, ty)
            if tokens::contains_word(ty, "Future")
                && (matches!(**ty, Type::ImplTrait(_)) || is_path_to(ty, &["Pin", "Box"])) =>
        {
            Some(ty)
        }
        ReturnType::Type(_, ty) if is_path_to(ty, &["BoxFuture", "LocalBoxFuture"]) => Some(ty),
        _ => None,
    }
}

/// `impl Trait` has no name that the body could be checked against: `_` takes its place.
fn infer_opaque(ty: &mut Type) {
    match ty {
        Type::ImplTrait(_) => *ty = parse_quote!(_),
        Type::Path(path) => {
            for segment in &mut path.path.segments {
                if let PathArguments::AngleBracketed(arguments) = &mut segment.arguments {
                    for argument in &mut arguments.args {
                        if let GenericArgument::Type(ty) = argument {
                            infer_opaque(ty);
                        }
                    }
                }
            }
        }
        Type::Tuple(tuple) => tuple.elems.iter_mut().for_each(infer_opaque),
        Type::Reference(reference) => infer_opaque(&mut reference.elem),
        Type::Array(array) => infer_opaque(&mut array.elem),
        Type::Paren(paren) => infer_opaque(&mut paren.elem),
        Type::Group(group) => infer_opaque(&mut group.elem),
        _ => {}
    }
}
