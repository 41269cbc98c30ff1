//! The scope of a handler's keys, and why a function's path may not serve as one.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{FnArg, GenericParam};

use super::value;
use crate::attr::Args;
use crate::errors::Errors;
use crate::function::Function;
use crate::model::{Scope, Shape};
use crate::tokens;

/// The scope as written, or the function's path where no other function can share it.
pub(super) fn scope(
    function: &Function,
    args: Option<&mut Args>,
    shape: Option<&Shape>,
    errors: &mut Errors,
) -> Scope {
    let name = function.sig.ident.to_string();
    let name = name.trim_start_matches("r#");
    let Some(args) = args else {
        return Scope::Default(name.to_owned());
    };
    if let Some(arg) = args.take("scope") {
        return value::scope(&arg, errors)
            .map_or_else(|| Scope::Default(name.to_owned()), Scope::Literal);
    }
    if !args.broken && shape.is_some() {
        let add = format!("add `scope = \"service.{name}\"`");
        match shared_path(function) {
            Some((tokens, what)) => {
                errors.on(
                    tokens,
                    format!(
                        "{what} needs an explicit scope, since another can share its path; {add}"
                    ),
                );
            }
            None if !name.is_ascii() => errors.on(
                &function.sig.ident,
                format!("a scope is ASCII, and this name is not; {add}"),
            ),
            None => {}
        }
    }
    Scope::Default(name.to_owned())
}

/// Why the function's path may not be its own.
pub(super) fn shared_path(function: &Function) -> Option<(TokenStream, &'static str)> {
    let sig = &function.sig;
    if let Some(FnArg::Receiver(receiver)) = sig.inputs.first() {
        return Some((receiver.to_token_stream(), "a method"));
    }
    if let Some(param) = sig
        .generics
        .params
        .iter()
        .find(|param| !matches!(param, GenericParam::Lifetime(_)))
    {
        return Some((param.to_token_stream(), "a generic handler"));
    }
    let typed = sig.inputs.iter().find_map(|input| match input {
        FnArg::Typed(typed) if tokens::contains_word(&typed.ty, "impl") => {
            Some((&typed.ty, "a generic handler"))
        }
        FnArg::Typed(typed) if tokens::contains_word(&typed.ty, "Self") => {
            Some((&typed.ty, "an associated function"))
        }
        _ => None,
    });
    if let Some((ty, what)) = typed {
        return Some((ty.to_token_stream(), what));
    }
    let output = sig.output.to_token_stream();
    tokens::contains_word(&output, "Self").then_some((output, "an associated function"))
}
