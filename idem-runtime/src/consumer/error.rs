//! Why a consumer ended, or did not start.

use std::fmt;

use crate::source::SourceError;

/// Why a consumer did not start, or ended before it was asked to. Nothing is lost: what was not
/// acknowledged comes again.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConsumerError {
    /// Two handlers were given for one type of event.
    TwoHandlers {
        /// The type.
        kind: String,
    },
    /// No handler was given.
    NoHandler,
    /// The pool has too few connections: two are for attempts and dead letters.
    PoolTooSmall {
        /// How many it may have at most.
        connections: u32,
    },
    /// The tables of this crate are missing or older than this release.
    NotMigrated,
    /// The database could not be reached at the start.
    Store(sqlx::Error),
    /// The source can't go on.
    Source(SourceError),
}

impl fmt::Display for ConsumerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwoHandlers { kind } => write!(
                f,
                "two handlers were given for the type `{kind}`, and a message goes to one; give the other one another \
                 type (`on_type`), or a consumer of its own"
            ),
            Self::NoHandler => {
                f.write_str("no handler was given: call `Consumer::on` before `run`")
            }
            Self::PoolTooSmall { connections } => write!(
                f,
                "the pool has at most {connections} connections and a consumer needs 3, two of them for attempts and dead \
                 letters; set `max_connections` to its concurrency and 2"
            ),
            Self::NotMigrated => {
                crate::error::Error::<std::convert::Infallible>::NotMigrated.fmt(f)
            }
            // What the driver says is the source: some servers quote rows in it.
            Self::Store(_) => f.write_str(
                "the database refused or could not be reached; the source of this error says why",
            ),
            Self::Source(error) => write!(f, "the source can't go on: {error}"),
        }
    }
}

impl std::error::Error for ConsumerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            Self::Source(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn each_error_says_what_to_do() {
        for (error, part) in [
            (
                ConsumerError::TwoHandlers {
                    kind: "Paid".into(),
                },
                "`Paid`",
            ),
            (ConsumerError::NoHandler, "`Consumer::on`"),
            (
                ConsumerError::PoolTooSmall { connections: 2 },
                "`max_connections`",
            ),
            (ConsumerError::NotMigrated, "migrate(&pool)"),
            (
                ConsumerError::Source(SourceError::permanent("no queue")),
                "no queue",
            ),
        ] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn what_the_database_says_is_the_source_and_not_the_message() {
        let error = ConsumerError::Store(sqlx::Error::Protocol("secret".into()));
        assert!(!error.to_string().contains("secret"));
        let source = error.source().map(ToString::to_string);
        assert!(source.is_some_and(|source| source.contains("secret")));
    }
}
