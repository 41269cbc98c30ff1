//! What an error of one of our own statements means.

use std::fmt;

use super::Home;
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
    /// The tables are another database's than those that were asked for their namespace.
    OtherNamespace,
    /// An event with this ID and other content is in the outbox.
    EventConflict,
    /// This role may not use the schema or the functions of this crate.
    NotPermitted,
    /// A table, column or function of ours is missing.
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
            (Self::NotPermitted, Some(home)) => Error::NotPermitted {
                grant: format!(
                    "GRANT USAGE ON SCHEMA \"{}\" TO the role that the handler takes",
                    home.schema
                ),
            },
            _ => Error::Store(error),
        }
    }
}

/// What our own code found, where the database has no error for it.
#[derive(Debug)]
struct Verdict(ErrorClass);

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            ErrorClass::Lost => "this is not the transaction that claimed",
            ErrorClass::NotMigrated => "a table is missing or outdated",
            ErrorClass::ForeignTransaction => "a transaction is open that sqlx did not begin",
            ErrorClass::OtherNamespace => "the tables are another database's",
            _ => "the database refused",
        })
    }
}

impl std::error::Error for Verdict {}

pub(super) fn verdict(class: ErrorClass) -> sqlx::Error {
    sqlx::Error::AnyDriverError(Box::new(Verdict(class)))
}

/// The class of an error that [`verdict`] made.
pub(super) fn verdict_of(error: &sqlx::Error) -> Option<ErrorClass> {
    match error {
        sqlx::Error::AnyDriverError(error) => Some(error.downcast_ref::<Verdict>()?.0),
        _ => None,
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

    #[test]
    fn a_verdict_keeps_its_class_and_says_it_in_words() {
        for (class, words) in [
            (ErrorClass::Lost, "this is not the transaction that claimed"),
            (ErrorClass::NotMigrated, "a table is missing or outdated"),
            (ErrorClass::Refused, "the database refused"),
        ] {
            let error = verdict(class);
            assert_eq!(verdict_of(&error), Some(class));
            let sqlx::Error::AnyDriverError(ours) = error else {
                panic!("{error:?}");
            };
            assert_eq!(ours.to_string(), words);
        }
        assert_eq!(verdict_of(&sqlx::Error::RowNotFound), None);
        let other = sqlx::Error::AnyDriverError("other".into());
        assert_eq!(verdict_of(&other), None);
    }
}
