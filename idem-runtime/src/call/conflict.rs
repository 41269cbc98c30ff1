//! Finds the database's error in a handler's own, so that `retry` knows a conflict when it sees
//! one.
//!
//! The expansion knows the error's type, so method resolution picks one of the traits below. Each
//! needs one dereference less than the next, so the first one whose bound holds wins.

use std::error::Error;

use sqlx::error::DatabaseError;

use super::inner_error::inner_error;

/// A handler's error on its way through method resolution.
#[derive(Debug)]
pub struct Probe<'a, E: ?Sized>(pub &'a E);

/// For types that are errors.
pub trait ViaError<'a> {
    /// The database's error, if this came from one.
    fn database_error(&self) -> Option<&'a dyn DatabaseError>;
}

impl<'a, E: Error + 'static> ViaError<'a> for &&&Probe<'a, E> {
    fn database_error(&self) -> Option<&'a dyn DatabaseError> {
        in_chain(self.0)
    }
}

/// For `anyhow::Error` and `Box<dyn Error + Send + Sync>`.
pub trait ViaShared<'a> {
    /// The database's error, if this came from one.
    fn database_error(&self) -> Option<&'a dyn DatabaseError>;
}

impl<'a, E: AsRef<dyn Error + Send + Sync>> ViaShared<'a> for &&Probe<'a, E> {
    fn database_error(&self) -> Option<&'a dyn DatabaseError> {
        in_chain(self.0.as_ref())
    }
}

/// For `Box<dyn Error>`.
pub trait ViaLocal<'a> {
    /// The database's error, if this came from one.
    fn database_error(&self) -> Option<&'a dyn DatabaseError>;
}

impl<'a, E: AsRef<dyn Error>> ViaLocal<'a> for &Probe<'a, E> {
    fn database_error(&self) -> Option<&'a dyn DatabaseError> {
        in_chain(self.0.as_ref())
    }
}

/// For everything else: says what is missing.
pub trait ViaNothing<'a, E> {
    /// Always `None`.
    fn database_error(&self) -> Option<&'a dyn DatabaseError>
    where
        E: Retryable;
}

impl<'a, E> ViaNothing<'a, E> for Probe<'a, E> {
    fn database_error(&self) -> Option<&'a dyn DatabaseError>
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

fn in_chain<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a dyn DatabaseError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<sqlx::Error>() {
            return error.as_database_error();
        }
        // `#[error(transparent)]` of thiserror leaves out the error that it stands for.
        if let Some(error) = error.downcast_ref::<Box<dyn DatabaseError>>() {
            return Some(error.as_ref());
        }
        next = inner_error(error).or_else(|| error.source());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::inner_error::error_of;
    use crate::contract::Contract;
    use crate::store::stub_error;

    macro_rules! found {
        ($error:expr) => {{
            #[allow(unused_imports)]
            use super::{ViaError as _, ViaLocal as _, ViaNothing as _, ViaShared as _};
            (&&&&Probe(&$error)).database_error().is_some()
        }};
    }

    #[derive(Debug, thiserror::Error)]
    enum PaymentError {
        #[error("the account is closed")]
        Closed,
        #[error("the database")]
        Database(#[from] sqlx::Error),
        #[error(transparent)]
        Transparent(sqlx::Error),
        #[error("no receipt")]
        Receipt(#[source] crate::Error<std::sync::Arc<Self>>),
    }

    macro_rules! handlers_with {
        ($($error:ty: $scope:literal;)*) => {$(
            inventory::submit! {
                Contract::new("tests", $scope, "apply").raises(|| error_of::<Result<(), $error>>().find())
            }
        )*};
    }

    handlers_with! {
        sqlx::Error: "conflict.a";
        Box<dyn Error>: "conflict.b";
        Box<dyn Error + Send + Sync>: "conflict.c";
        PaymentError: "conflict.d";
        std::sync::Arc<PaymentError>: "conflict.e";
        String: "conflict.f";
    }

    fn conflict() -> sqlx::Error {
        stub_error("40001")
    }

    fn handler<E>(error: E) -> crate::Error<E> {
        crate::Error::Handler {
            error,
            replayed: false,
        }
    }

    #[test]
    fn the_database_error_is_found_through_every_usual_error_type() {
        let store = || crate::Error::<std::convert::Infallible>::Store(conflict());
        assert!(found!(conflict()));
        assert!(found!(store()));
        assert!(found!(Box::<dyn Error + Send + Sync>::from(store())));
        assert!(found!(Box::<dyn Error>::from(conflict())));
        let inner = || handler(conflict());
        assert!(found!(inner()));
        assert!(found!(Box::<dyn Error + Send + Sync>::from(inner())));
        let twice = handler(Box::<dyn Error + Send + Sync>::from(inner()));
        assert!(found!(Box::<dyn Error + Send + Sync>::from(twice)));
        assert!(found!(handler(Box::<dyn Error>::from(store()))));
        assert!(found!(PaymentError::Transparent(conflict())));
        assert!(!found!(sqlx::Error::RowNotFound));
        assert!(!found!(crate::Error::<sqlx::Error>::InFlight));
        assert!(!found!(std::io::Error::other("disk")));
        assert!(!found!(Box::<dyn Error + Send + Sync>::from("text")));
    }

    /// Guards: each expansion registers the type of its handler's error.
    #[test]
    fn the_database_error_is_found_in_an_inner_handlers_own_error_type() {
        let inner = || handler(PaymentError::from(conflict()));
        assert!(found!(inner()));
        assert!(found!(Box::<dyn Error + Send + Sync>::from(inner())));
        let around = PaymentError::Receipt(handler(std::sync::Arc::new(
            inner().into_handler().unwrap(),
        )));
        assert!(found!(around));
        assert!(found!(handler(around)));
        assert!(!found!(handler(PaymentError::Closed)));
        assert!(!found!(Box::<dyn Error + Send + Sync>::from(handler(
            "text".to_owned()
        ))));
    }
}
