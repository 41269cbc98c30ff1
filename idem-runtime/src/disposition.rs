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
    note = "`impl idem_runtime::Classify for {Self} {{}}` calls every error transient: the delivery is retried"
)]
pub trait Classify {
    /// What to do with a delivery whose handler returned this error. Everything but
    /// [`Disposition::Retry`] is permanent: under `on_error = "record"` it is stored and replayed.
    fn disposition(&self) -> Disposition {
        Disposition::Retry
    }
}

impl Classify for Infallible {}
impl Classify for String {}
impl Classify for std::io::Error {}
impl Classify for sqlx::Error {}
impl Classify for Box<dyn std::error::Error> {}
impl Classify for Box<dyn std::error::Error + Send + Sync> {}
