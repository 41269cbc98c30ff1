//! What a consumer does with a delivery that was not handled.

use std::convert::Infallible;

/// What a consumer does with a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Disposition {
    /// Acknowledge: there is nothing left to do.
    Ack,
    /// Deliver again, later.
    Retry,
    /// Put aside for a person: another delivery would end the same way.
    DeadLetter,
}

/// Says which errors of a handler are permanent.
///
/// ```
/// use idem_runtime::{Classify, Disposition};
///
/// enum PaymentError {
///     AccountClosed,
///     Database(sqlx::Error),
/// }
///
/// impl Classify for PaymentError {
///     fn disposition(&self) -> Disposition {
///         match self {
///             Self::AccountClosed => Disposition::DeadLetter,
///             Self::Database(_) => Disposition::Retry,
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which of its errors are permanent",
    label = "not `Classify`",
    note = "`impl idem_runtime::Classify for {Self} {{}}` calls every error transient: the delivery is retried",
    note = "for `anyhow::Error` or `eyre::Report` turn on the feature `anyhow` or `eyre` of `idem-runtime`"
)]
pub trait Classify {
    /// What to do with a delivery whose handler returned this error. Everything but
    /// [`Disposition::Retry`] is permanent: under `on_error = "record"` it is stored and replayed.
    fn disposition(&self) -> Disposition {
        Disposition::Retry
    }

    /// The database's error that is in this one, if there is one. A
    /// [`Consumer`](crate::Consumer) does not count an attempt that lost to another transaction, such
    /// as a deadlock, and stops receiving when the database fails many deliveries in a row.
    fn database_error(&self) -> Option<&sqlx::Error> {
        None
    }
}

impl Classify for Infallible {}
impl Classify for String {}
impl Classify for std::io::Error {}

impl Classify for sqlx::Error {
    fn database_error(&self) -> Option<&sqlx::Error> {
        Some(self)
    }
}

impl Classify for Box<dyn std::error::Error> {
    fn database_error(&self) -> Option<&sqlx::Error> {
        database_error_in(&**self)
    }
}

impl Classify for Box<dyn std::error::Error + Send + Sync> {
    fn database_error(&self) -> Option<&sqlx::Error> {
        database_error_in(&**self)
    }
}

/// Every error is transient. Wrap `anyhow::Error` in a type of your own to say which are not.
#[cfg(feature = "anyhow")]
impl Classify for anyhow::Error {
    fn database_error(&self) -> Option<&sqlx::Error> {
        self.chain().find_map(|error| error.downcast_ref())
    }
}

/// Every error is transient. Wrap `eyre::Report` in a type of your own to say which are not.
#[cfg(feature = "eyre")]
impl Classify for eyre::Report {
    fn database_error(&self) -> Option<&sqlx::Error> {
        self.chain().find_map(|error| error.downcast_ref())
    }
}

/// The first of the error and its sources that is the database's.
fn database_error_in<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a sqlx::Error> {
    std::iter::successors(Some(error), |error| error.source())
        .find_map(|error| error.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Wrapped(sqlx::Error);

    impl std::fmt::Display for Wrapped {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("wrapped")
        }
    }

    impl std::error::Error for Wrapped {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    fn is_found(error: &impl Classify) -> bool {
        matches!(error.database_error(), Some(sqlx::Error::PoolClosed))
    }

    #[test]
    fn the_databases_error_is_found_in_a_boxed_one() {
        let boxed: Box<dyn std::error::Error> = Box::new(Wrapped(sqlx::Error::PoolClosed));
        let sent: Box<dyn std::error::Error + Send + Sync> = Box::new(sqlx::Error::PoolClosed);
        assert!(is_found(&boxed) && is_found(&sent) && is_found(&sqlx::Error::PoolClosed));
        assert!(!is_found(&String::new()));
    }

    #[cfg(feature = "anyhow")]
    #[test]
    fn the_databases_error_is_found_in_an_anyhow_error() {
        let error = anyhow::Error::new(Wrapped(sqlx::Error::PoolClosed)).context("at the bank");
        assert!(is_found(&error));
        assert_eq!(error.disposition(), Disposition::Retry);
    }

    #[cfg(feature = "eyre")]
    #[test]
    fn the_databases_error_is_found_in_an_eyre_report() {
        let error = eyre::Report::new(Wrapped(sqlx::Error::PoolClosed)).wrap_err("at the bank");
        assert!(is_found(&error));
        assert_eq!(error.disposition(), Disposition::Retry);
    }
}
