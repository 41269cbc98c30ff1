//! What an error means for a call, by SQLite's result code.

use crate::store::ErrorClass;
use crate::store::verdict::class_of;

/// What a statement's error means, also where SQLite has given no code.
pub(super) fn of(error: &sqlx::Error) -> ErrorClass {
    if let Some(class) = class_of(error) {
        return class;
    }
    match (code(error), error) {
        // A primary key.
        (Some(1555), _) => ErrorClass::Duplicate,
        // NULL where there must be a value: our own verdict on an event, or on a claim.
        (Some(1299), error) if error.to_string().contains("idem_outbox") => {
            ErrorClass::EventConflict
        }
        (Some(1299), _) => ErrorClass::OtherNamespace,
        (Some(code), _) => match code & 0xff {
            // Busy, and locked in a shared cache, with all their extended codes.
            5 | 6 => ErrorClass::Conflict,
            // The disk failed, perhaps after it had written.
            10 => ErrorClass::Unknown,
            _ => ErrorClass::Refused,
        },
        (None, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed) => {
            ErrorClass::Unknown
        }
        (None, _) => ErrorClass::Refused,
    }
}

/// The extended result code.
pub fn code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// `SQLITE_ERROR`: a missing table, column or savepoint, and everything else that is wrong with a
/// statement.
pub(super) fn is_generic(error: &sqlx::Error) -> bool {
    code(error) == Some(1)
}
