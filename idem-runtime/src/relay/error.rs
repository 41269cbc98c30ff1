//! Why a relay stopped.

use std::fmt;

/// Why a relay stopped before its end. Nothing is lost: what was not deleted from the outbox is
/// published again.
#[derive(Debug)]
#[non_exhaustive]
pub enum RelayError {
    /// A relay of another target is running and takes a topic of this one. Each event has one
    /// target.
    OverlappingTargets {
        /// The target of this relay.
        target: String,
        /// The target of the other one.
        other: String,
        /// A topic that both take.
        topic: String,
    },
    /// The tables of this crate are missing or older than this release.
    NotMigrated,
    /// The database refused, or could not be reached.
    Store(sqlx::Error),
}

impl fmt::Display for RelayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OverlappingTargets {
                target,
                other,
                topic,
            } => write!(
                f,
                "the relay of the target `{target}` did not start: a relay of the target `{other}` is running and takes \
                 `{topic}` too, and each event can have one target only; give each target topics of its own \
                 (`Relay::topics`), or stop the other relay first"
            ),
            Self::NotMigrated => {
                crate::error::Error::<std::convert::Infallible>::NotMigrated.fmt(f)
            }
            // What the driver says is the source: some servers quote rows in it.
            Self::Store(_) => f.write_str(
                "the database refused or could not be reached; the source of this error says why",
            ),
        }
    }
}

impl std::error::Error for RelayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            Self::OverlappingTargets { .. } | Self::NotMigrated => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn what_the_database_says_is_the_source_and_not_the_message() {
        let error = RelayError::Store(sqlx::Error::Protocol("secret".into()));
        assert!(!error.to_string().contains("secret"));
        let source = error.source().map(ToString::to_string);
        assert!(source.is_some_and(|source| source.contains("secret")));
        assert!(RelayError::NotMigrated.source().is_none());
    }

    #[test]
    fn an_overlap_names_both_targets_and_the_topic() {
        let error = RelayError::OverlappingTargets {
            target: "audit".into(),
            other: "default".into(),
            topic: "orders.placed".into(),
        };
        let message = error.to_string();
        for part in ["`audit`", "`default`", "`orders.placed`"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
