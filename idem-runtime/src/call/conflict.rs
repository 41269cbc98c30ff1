//! Finds the database's error in a handler's own, so that `retry` knows a conflict when it sees one.
//!
//! The expansion knows the error's type, so method resolution picks the way: each trait below stands one
//! reference nearer to the call than the next, and the first whose bound holds wins.

use std::error::Error;

/// A handler's error on its way through method resolution.
#[derive(Debug)]
pub struct Probe<'a, E: ?Sized>(pub &'a E);

/// For types that are errors.
pub trait ViaError<'a> {
    /// The database's error, if this came from one.
    fn database_error(&self) -> Option<&'a sqlx::Error>;
}

impl<'a, E: Error + 'static> ViaError<'a> for &&&Probe<'a, E> {
    fn database_error(&self) -> Option<&'a sqlx::Error> {
        in_chain(self.0)
    }
}

/// For `anyhow::Error` and `Box<dyn Error + Send + Sync>`.
pub trait ViaShared<'a> {
    /// The database's error, if this came from one.
    fn database_error(&self) -> Option<&'a sqlx::Error>;
}

impl<'a, E: AsRef<dyn Error + Send + Sync>> ViaShared<'a> for &&Probe<'a, E> {
    fn database_error(&self) -> Option<&'a sqlx::Error> {
        in_chain(self.0.as_ref())
    }
}

/// For `Box<dyn Error>`.
pub trait ViaLocal<'a> {
    /// The database's error, if this came from one.
    fn database_error(&self) -> Option<&'a sqlx::Error>;
}

impl<'a, E: AsRef<dyn Error>> ViaLocal<'a> for &Probe<'a, E> {
    fn database_error(&self) -> Option<&'a sqlx::Error> {
        in_chain(self.0.as_ref())
    }
}

/// For everything else: says what is missing.
pub trait ViaNothing<'a, E> {
    /// Not to be had.
    fn database_error(&self) -> Option<&'a sqlx::Error>
    where
        E: Retryable;
}

impl<'a, E> ViaNothing<'a, E> for Probe<'a, E> {
    fn database_error(&self) -> Option<&'a sqlx::Error>
    where
        E: Retryable,
    {
        None
    }
}

/// Never implemented by hand.
#[diagnostic::on_unimplemented(
    message = "`retry` can't tell a conflict in the database from any other `{Self}`",
    label = "not a `std::error::Error`",
    note = "implement `std::error::Error` for `{Self}` with a `source()` that leads to the `sqlx::Error` (`thiserror` does with `#[from]`), or leave out `retry`"
)]
pub trait Retryable {}

fn in_chain<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a sqlx::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = inner_handlers(error).or_else(|| error.source());
    }
    None
}

/// What a handler that this one called met in its body. It is that handler's own error and so no source, which would ask
/// for more of its type than `Display`: the usual types are known here.
fn inner_handlers<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    type Shared = Box<dyn Error + Send + Sync>;
    if let Some(crate::Error::Handler { error: inner, .. }) =
        error.downcast_ref::<crate::Error<sqlx::Error>>()
    {
        return Some(inner);
    }
    if let Some(crate::Error::Handler { error: inner, .. }) =
        error.downcast_ref::<crate::Error<Shared>>()
    {
        return Some(inner.as_ref());
    }
    if let Some(crate::Error::Handler { error: inner, .. }) =
        error.downcast_ref::<crate::Error<Box<dyn Error>>>()
    {
        return Some(inner.as_ref());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! found {
        ($error:expr) => {{
            #[allow(unused_imports)]
            use super::{ViaError as _, ViaLocal as _, ViaNothing as _, ViaShared as _};
            (&&&&Probe(&$error)).database_error().is_some()
        }};
    }

    fn handler<E>(error: E) -> crate::Error<E> {
        crate::Error::Handler {
            error,
            replayed: false,
        }
    }

    #[test]
    fn the_database_error_is_found_through_every_usual_error_type() {
        let store = || crate::Error::<std::convert::Infallible>::Store(sqlx::Error::RowNotFound);
        assert!(found!(sqlx::Error::RowNotFound));
        assert!(found!(store()));
        assert!(found!(Box::<dyn Error + Send + Sync>::from(store())));
        assert!(found!(Box::<dyn Error>::from(sqlx::Error::RowNotFound)));
        let inner = || handler(sqlx::Error::RowNotFound);
        assert!(found!(inner()));
        assert!(found!(Box::<dyn Error + Send + Sync>::from(inner())));
        let twice = handler(Box::<dyn Error + Send + Sync>::from(inner()));
        assert!(found!(Box::<dyn Error + Send + Sync>::from(twice)));
        assert!(found!(handler(Box::<dyn Error>::from(store()))));
        assert!(!found!(crate::Error::<sqlx::Error>::InFlight));
        assert!(!found!(std::io::Error::other("disk")));
        assert!(!found!(Box::<dyn Error + Send + Sync>::from("text")));
    }
}
