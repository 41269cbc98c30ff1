//! What an error of one of our own statements means.

use super::home::Home;
use crate::error::Error;

/// What an error of one of our own statements means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// Our claim found the key taken.
    Duplicate,
    /// The database chose this transaction to lose: run it again on a fresh one.
    Conflict,
    /// A wait in the database ended without an answer.
    TimedOut,
    /// The fence did not hold: this is not the transaction that claimed, or it is aborted.
    Lost,
    /// The connection was in a transaction that sqlx knows nothing of.
    ForeignTransaction,
    /// The tables belong to another database than the one whose namespace is known.
    OtherNamespace,
    /// An event with this ID and other content is in the outbox.
    EventConflict,
    /// A body of a batch changed the role or the search path, which it shares with the others.
    #[cfg_attr(
        not(feature = "postgres"),
        allow(dead_code, reason = "only PostgreSQL has both")
    )]
    SettingsChanged,
    /// The statement is larger than the database takes, and was not sent.
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The largest size, in bytes.
        limit: u64,
    },
    /// This role may not use the schema or the functions of this crate.
    NotPermitted,
    /// A table, column or function of this crate is missing.
    NotMigrated,
    /// The server answered and refused.
    Refused,
    /// No answer: the statement ran or did not.
    Unknown,
}

impl ErrorClass {
    /// What a caller can act on.
    pub(crate) fn into_error(self, error: sqlx::Error, home: Option<&Home>) -> Error {
        match (self, home) {
            (Self::TimedOut, _) => Error::InFlight,
            (Self::NotMigrated, _) => Error::NotMigrated,
            (Self::ForeignTransaction, _) => Error::ForeignTransaction,
            (Self::TooLarge { size, limit }, _) => Error::TooLarge { size, limit },
            (Self::EventConflict, _) => Error::EventConflict,
            (Self::SettingsChanged, _) => Error::SettingsChanged,
            (Self::NotPermitted, Some(home)) => Error::NotPermitted {
                grant: format!(
                    "GRANT USAGE ON SCHEMA \"{}\" TO <the role that the handler takes>",
                    home.schema.replace('"', "\"\"")
                ),
            },
            _ => Error::Store(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_the_error_that_a_caller_can_act_on() {
        let home = Home {
            schema: "live".into(),
            namespace: uuid::Uuid::nil(),
        };
        let error = |class: ErrorClass, home| class.into_error(sqlx::Error::RowNotFound, home);
        assert!(matches!(error(ErrorClass::TimedOut, None), Error::InFlight));
        assert!(matches!(
            error(ErrorClass::NotMigrated, None),
            Error::NotMigrated
        ));
        assert!(matches!(error(ErrorClass::Refused, None), Error::Store(_)));
        let denied = error(ErrorClass::NotPermitted, Some(&home)).to_string();
        assert!(
            denied.contains("GRANT USAGE ON SCHEMA \"live\""),
            "{denied}"
        );
    }
}
