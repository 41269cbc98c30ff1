//! Many deliveries in one transaction.

mod members;

use crate::error::Error;
use crate::outcome::Outcome;

pub use self::members::BatchFailure;
pub(crate) use self::members::members;

/// What one delivery of a batch gets. What is known of one event is that event's own: a stored
/// result or error, another fingerprint, an empty key. An error that concerns all of them is the
/// error of the call, and then nothing was committed.
pub type BatchEntry<T, R, E> = Result<Outcome<T, R>, Error<E>>;
