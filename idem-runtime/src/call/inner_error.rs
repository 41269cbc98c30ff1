//! Finds the error of a handler in that of its call.
//!
//! `Error<E>` requires no more of `E` than `Debug` and `Display`, so its error can be reached only
//! by code that knows the type. The expansion of each handler knows it, and registers how to find
//! it.

#![allow(
    clippy::unused_self,
    clippy::unnecessary_wraps,
    reason = "method resolution picks one of four"
)]

use std::error::Error;
use std::fmt::{Debug, Display};
use std::marker::PhantomData;
use std::ops::Deref;

use crate::contract::{Contract, FindError};

/// What a handler that the body called returned, if `error` is that call's.
pub(super) fn inner_error<'a>(
    error: &'a (dyn Error + 'static),
) -> Option<&'a (dyn Error + 'static)> {
    inventory::iter::<Contract>().find_map(|contract| (contract.find_error)()?(error))
}

/// Asks how the error of a handler that returns `R` is found. Method resolution answers: `find` of
/// this type if its bound holds, else that of what it dereferences to.
#[derive(Debug)]
pub struct ErrorOf<R>(Shared<R>);

/// For `anyhow::Error` and `Box<dyn Error + Send + Sync>`.
#[derive(Debug)]
pub struct Shared<R>(Local<R>);

/// For `Box<dyn Error>`.
#[derive(Debug)]
pub struct Local<R>(Opaque<R>);

/// For everything else.
#[derive(Debug)]
pub struct Opaque<R>(PhantomData<fn(&R)>);

/// Asks it.
pub const fn error_of<R>() -> ErrorOf<R> {
    ErrorOf(Shared(Local(Opaque(PhantomData))))
}

impl<T, E: Error + 'static> ErrorOf<Result<T, E>> {
    /// As it is.
    pub const fn find(&self) -> Option<FindError> {
        Some(|error| Some(handlers::<E>(error)?))
    }
}

impl<T, E: AsRef<dyn Error + Send + Sync> + Debug + Display + 'static> Shared<Result<T, E>> {
    /// What is in the box.
    pub const fn find(&self) -> Option<FindError> {
        Some(|error| Some(handlers::<E>(error)?.as_ref()))
    }
}

impl<T, E: AsRef<dyn Error> + Debug + Display + 'static> Local<Result<T, E>> {
    /// What is in the box.
    pub const fn find(&self) -> Option<FindError> {
        Some(|error| Some(handlers::<E>(error)?.as_ref()))
    }
}

impl<R> Opaque<R> {
    /// Always `None`.
    pub const fn find(&self) -> Option<FindError> {
        None
    }
}

fn handlers<'a, E: Debug + Display + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    match error.downcast_ref()? {
        crate::Error::Handler { error, .. } => Some(error),
        _ => None,
    }
}

macro_rules! otherwise {
    ($($this:ident $next:ident;)*) => {$(
        impl<R> Deref for $this<R> {
            type Target = $next<R>;

            fn deref(&self) -> &$next<R> {
                &self.0
            }
        }
    )*};
}

otherwise! {
    ErrorOf Shared;
    Shared Local;
    Local Opaque;
}
