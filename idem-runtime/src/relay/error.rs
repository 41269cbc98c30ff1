//! Why a relay stopped.

use std::fmt;

use crate::telemetry::Redacted;

/// Why a relay ended although nobody asked it to. Nothing is lost: what is in the outbox is
/// published once a relay runs again.
#[derive(Debug)]
#[non_exhaustive]
pub enum RelayError {
    /// A relay of another target is running and takes a topic of this one. Each event has one
    /// target. When a deploy moves a topic to another target, start the new relay again once the
    /// old ones have ended.
    OverlappingTargets {
        /// The target of this relay.
        target: String,
        /// The target of the other one.
        other: String,
        /// A topic that both take; `every topic` if neither was given its topics.
        topic: String,
    },
    /// The tables of this crate are missing or older than this release.
    NotMigrated,
    /// The database refused a statement or could not be reached. The text of this error has the
    /// database's code alone; what the database says is its [source](std::error::Error::source).
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
            Self::Store(error) => write!(
                f,
                "the relay can't work with its database: {}; the source of this error says more. Check that the database \
                 can be reached, and that this role has the rights of a relay (the guide: migrations and deploys)",
                Redacted(error)
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
        let message = error.to_string();
        assert!(message.contains("broke the protocol") && !message.contains("secret"));
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
