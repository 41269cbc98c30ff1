//! Why a relay stopped.

use std::fmt;

/// Why a relay stopped before its end. Nothing is lost: what was not marked as published is published again.
#[derive(Debug)]
#[non_exhaustive]
pub enum RelayError {
    /// The publisher broke its contract: not one verdict for each message. Nothing of that batch was marked.
    Verdicts {
        /// The publisher's type.
        publisher: &'static str,
        /// How many messages it was given.
        messages: usize,
        /// How many verdicts it returned.
        verdicts: usize,
    },
    /// The tables of this crate are missing or older than this release.
    NotMigrated,
    /// The database refused, or could not be reached.
    Store(sqlx::Error),
}

impl fmt::Display for RelayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verdicts {
                publisher,
                messages,
                verdicts,
            } => write!(
                f,
                "the publisher `{publisher}` returned {verdicts} verdicts for {messages} messages, and none of them \
                 was marked; `publish` must return one verdict for each message, in their order"
            ),
            Self::NotMigrated => {
                crate::error::Error::<std::convert::Infallible>::NotMigrated.fmt(f)
            }
            Self::Store(error) => write!(f, "the database refused: {error}"),
        }
    }
}

impl std::error::Error for RelayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            Self::Verdicts { .. } | Self::NotMigrated => None,
        }
    }
}
