//! What an error means for a call, by the server's number.

use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;

use crate::store::ErrorClass;
use crate::store::verdict::class_of;

/// What a statement's error means, also where the server has sent none.
pub(super) fn of(error: &sqlx::Error) -> ErrorClass {
    if let Some(class) = class_of(error) {
        return class;
    }
    let Some(number) = number(error) else {
        return match error {
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
                ErrorClass::Unknown
            }
            _ => ErrorClass::Refused,
        };
    };
    meaning(number)
}

pub(super) fn is_conflict(error: &dyn DatabaseError) -> bool {
    meaning(number_of(error)) == ErrorClass::Conflict
}

pub(super) const fn meaning(number: u16) -> ErrorClass {
    match number {
        1062 => ErrorClass::Duplicate,
        // A deadlock, also a failed certification at COMMIT; the same of a replication group; a row
        // that is newer than the snapshot.
        1213 | 3101 | 1020 => ErrorClass::Conflict,
        1205 => ErrorClass::TimedOut,
        // The verdict of `KEEP_EQUAL_EVENT`.
        1690 => ErrorClass::EventConflict,
        // A savepoint that is gone, and the verdict of `end_claims_sql`.
        1305 | 1242 => ErrorClass::Lost,
        // SET TRANSACTION inside of a transaction.
        1568 => ErrorClass::ForeignTransaction,
        // NULL, which `claim_sql` makes of the scope if the database is another one.
        1048 => ErrorClass::OtherNamespace,
        // A missing table or column.
        1146 | 1054 => ErrorClass::NotMigrated,
        // Shutdown, a network that broke, a killed connection or statement, COMMIT itself: by
        // number, the server's 1053, 1152 to 1161, 1180, 1317, 1927, 1969, 3024, 4031, and the
        // client's 2006 and 2013.
        1053 | 1152..=1161 | 1180 | 1317 | 1927 | 1969 | 2006 | 2013 | 3024 | 4031 => {
            ErrorClass::Unknown
        }
        _ => ErrorClass::Refused,
    }
}

/// The server's number of an error; 0 for one that is not MySQL's.
pub fn number(error: &sqlx::Error) -> Option<u16> {
    error.as_database_error().map(number_of)
}

fn number_of(error: &dyn DatabaseError) -> u16 {
    error
        .try_downcast_ref::<MySqlDatabaseError>()
        .map_or(0, MySqlDatabaseError::number)
}
