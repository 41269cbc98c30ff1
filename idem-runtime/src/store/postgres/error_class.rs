//! What an error means for a call, by the server's code.

use sqlx::error::DatabaseError;

use crate::store::ErrorClass;
use crate::store::verdict::class_of;

/// What a statement's error means, also where the server has sent none.
pub(super) fn of(error: &sqlx::Error) -> ErrorClass {
    if let Some(class) = class_of(error) {
        return class;
    }
    let Some(code) = error.as_database_error().and_then(DatabaseError::code) else {
        return match error {
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
                ErrorClass::Unknown
            }
            _ => ErrorClass::Refused,
        };
    };
    match &*code {
        "IDM01" => ErrorClass::Duplicate,
        "40001" | "40P01" => ErrorClass::Conflict,
        "55P03" => ErrorClass::TimedOut,
        // Our own verdict, an aborted transaction, no transaction, a savepoint that is gone.
        "IDM02" | "25P02" | "25P01" | "3B001" => ErrorClass::Lost,
        // A missing table, function, column or schema.
        "42P01" | "42883" | "42703" | "3F000" => ErrorClass::NotMigrated,
        // The server goes away, or reports an internal fault, perhaps after it has committed.
        code if ["57P", "08", "58", "XX", "F0"]
            .iter()
            .any(|class| code.starts_with(class)) =>
        {
            ErrorClass::Unknown
        }
        _ => ErrorClass::Refused,
    }
}
