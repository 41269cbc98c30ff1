//! What an error means for a call, by the server's code.

use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

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
        code if CONFLICTS.contains(&code) => ErrorClass::Conflict,
        // The server goes away, or reports an internal fault, perhaps after it has committed.
        code if ["57P", "08", "58", "XX", "F0"]
            .iter()
            .any(|class| code.starts_with(class)) =>
        {
            ErrorClass::Unknown
        }
        // A trigger of the user's that is deferred to COMMIT may fail by any code.
        _ if !is_ours(error) => ErrorClass::Refused,
        "IDM01" => ErrorClass::Duplicate,
        "55P03" => ErrorClass::TimedOut,
        // `idem_wait_at_most`, or a statement timeout of the user's that is shorter.
        "57014" if is_in(error, "idem_claim_batch") => ErrorClass::TimedOut,
        // Our own verdict, an aborted transaction, no transaction, a savepoint that is gone.
        "IDM02" | "25P02" | "25P01" | "3B001" => ErrorClass::Lost,
        "IDM03" => ErrorClass::ForeignTransaction,
        "IDM04" => ErrorClass::OtherNamespace,
        "IDM05" => ErrorClass::EventConflict,
        "IDM06" => ErrorClass::SettingsChanged,
        "42501" => ErrorClass::NotPermitted,
        // A missing table, function, column or schema.
        "42P01" | "42883" | "42703" | "3F000" => ErrorClass::NotMigrated,
        _ => ErrorClass::Refused,
    }
}

/// A transaction that can't be serialized, and a deadlock.
const CONFLICTS: [&str; 2] = ["40001", "40P01"];

pub(super) fn is_conflict(error: &dyn DatabaseError) -> bool {
    error.code().is_some_and(|code| CONFLICTS.contains(&&*code))
}

/// Whether an error was met by one of our statements or in one of our functions. The server says in
/// which function it was, whatever its language.
fn is_ours(error: &sqlx::Error) -> bool {
    context(error).is_none_or(|context| context.contains("idem_"))
}

fn is_in(error: &sqlx::Error, function: &str) -> bool {
    context(error).is_some_and(|context| context.contains(function))
}

fn context(error: &sqlx::Error) -> Option<&str> {
    error
        .as_database_error()?
        .try_downcast_ref::<PgDatabaseError>()?
        .r#where()
}
