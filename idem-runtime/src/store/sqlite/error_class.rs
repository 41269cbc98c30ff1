//! What an error means for a call, by SQLite's result code.

use sqlx::error::DatabaseError;

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
        (Some(code), _) if is_busy(code) => ErrorClass::Conflict,
        // The disk failed, perhaps after it had written.
        (Some(code), _) if code & 0xff == 10 => ErrorClass::Unknown,
        (None, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed) => {
            ErrorClass::Unknown
        }
        _ => ErrorClass::Refused,
    }
}

/// The extended result code.
pub fn code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error().and_then(code_of)
}

fn code_of(error: &dyn DatabaseError) -> Option<i32> {
    error.code()?.parse().ok()
}

pub(super) fn is_conflict(error: &dyn DatabaseError) -> bool {
    code_of(error).is_some_and(is_busy)
}

/// Busy, and locked in a shared cache, with all their extended codes.
const fn is_busy(code: i32) -> bool {
    matches!(code & 0xff, 5 | 6)
}

/// `SQLITE_ERROR`: a missing table, column or savepoint, and everything else that is wrong with a
/// statement.
pub(super) fn is_generic(error: &sqlx::Error) -> bool {
    code(error) == Some(1)
}
