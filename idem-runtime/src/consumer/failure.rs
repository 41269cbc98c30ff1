//! What an error of a delivery means for its consumer.

use std::fmt::Display;

use crate::disposition::{Classify, Disposition};
use crate::error::Error;
use crate::store::{ErrorClass, Store};
use crate::telemetry::Redacted;

/// An error that a consumer can judge: that of a handler whose own error is [`Classify`] and
/// [`Display`].
#[diagnostic::on_unimplemented(
    message = "a consumer can't judge the error `{Self}`",
    label = "the error of this handler"
)]
pub trait Failure: Send + 'static {
    /// What follows from it.
    #[doc(hidden)]
    fn judge<DB: Store>(&self) -> Judgement;

    /// If a batch failed by it: what that says of its deliveries.
    #[doc(hidden)]
    fn blame(&self) -> Blame;
}

/// What the failure of a batch says of its deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The body failed, or what it returned was refused: one of them may be to blame.
    Body,
    /// A key of them is handled elsewhere.
    Elsewhere,
    /// A body changed settings that it shared with others.
    Settings,
    /// The database failed, perhaps because of one of them.
    Database,
}

/// What follows from an error.
#[derive(Debug)]
pub struct Judgement {
    pub(super) disposition: Disposition,
    /// Whether it is an attempt, if that can be written.
    pub(super) counts: bool,
    pub(super) cause: Cause,
    /// For the dead letter, next to the message itself.
    pub(super) reason: String,
}

/// Who is to blame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The message or its handler.
    Handler,
    /// Perhaps the database: its error, as a log may hold it. The reason is for the dead letter alone.
    Database(String),
    /// The tables are not there.
    NotMigrated,
    /// That of its batch, which another delivery of it tells.
    Told,
}

impl<E: Classify + Display + Send + 'static> Failure for Error<E> {
    fn judge<DB: Store>(&self) -> Judgement {
        let (counts, cause) = match self {
            Self::Handler { error, .. } => match error.database_error() {
                // Only a statement's own code tells a conflict: the classes of this crate's errors
                // are about its own statements.
                Some(error) => (!is_conflict::<DB>(error), database(error)),
                None => (true, Cause::Handler),
            },
            Self::Store(error) => {
                let class = DB::classify(error);
                let is_conflict = matches!(class, ErrorClass::Conflict | ErrorClass::TimedOut);
                (!is_conflict, database(error))
            }
            Self::InFlight | Self::CommitUnknown => (false, Cause::Handler),
            Self::NotMigrated => (false, Cause::NotMigrated),
            _ => (true, Cause::Handler),
        };
        let reason = match self {
            Self::Store(error) => format!("{self}: {}", Redacted(error)),
            _ => self.to_string(),
        };
        Judgement {
            disposition: self.disposition(),
            counts,
            cause,
            reason,
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::InFlight => Blame::Elsewhere,
            Self::SettingsChanged => Blame::Settings,
            Self::Store(_) | Self::CommitUnknown | Self::NotMigrated => Blame::Database,
            _ => Blame::Body,
        }
    }
}

fn database(error: &sqlx::Error) -> Cause {
    Cause::Database(Redacted(error).to_string())
}

fn is_conflict<DB: Store>(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(DB::is_conflict)
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use sqlx::Sqlite;

    use super::*;

    fn judged(error: &Error<sqlx::Error>) -> (Disposition, bool, Cause) {
        let judgement = error.judge::<Sqlite>();
        (judgement.disposition, judgement.counts, judgement.cause)
    }

    /// Guards: what law says of each kind: an outage and a delivery that still runs elsewhere are
    /// nobody's attempts.
    #[test]
    fn what_is_not_the_messages_own_failure_does_not_count() {
        use Disposition::{DeadLetter, Retry};

        let handler = |error| Error::Handler {
            error,
            replayed: false,
        };
        for (error, expected) in [
            (Error::InFlight, (Retry, false, Cause::Handler)),
            (Error::CommitUnknown, (Retry, false, Cause::Handler)),
            (Error::NotMigrated, (Retry, false, Cause::NotMigrated)),
            (Error::RolledBack, (Retry, true, Cause::Handler)),
            (Error::EmptyKey, (DeadLetter, true, Cause::Handler)),
            (
                Error::Store(sqlx::Error::PoolTimedOut),
                (Retry, true, database(&sqlx::Error::PoolTimedOut)),
            ),
            (
                handler(sqlx::Error::RowNotFound),
                (Retry, true, database(&sqlx::Error::RowNotFound)),
            ),
        ] {
            assert_eq!(judged(&error), expected);
        }
    }

    #[test]
    fn what_the_database_quotes_is_not_in_the_reason() {
        let error = Error::<sqlx::Error>::Store(sqlx::Error::Protocol("secret".into()));
        let reason = error.judge::<Sqlite>().reason;
        assert!(reason.contains("broke the protocol"), "{reason}");
        assert!(!reason.contains("secret"), "{reason}");
    }
}
