//! Why a relay stopped.

use std::fmt;

/// Why a relay stopped before its end. Nothing is lost: what was not marked as published is
/// published again.
#[derive(Debug)]
#[non_exhaustive]
pub enum RelayError {
    /// The publisher broke its contract: not one verdict for each message. Nothing of that batch
    /// was marked.
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
                "the publisher `{publisher}` returned {verdicts} verdicts for {messages} messages, so none of these \
                 messages was marked as published; `publish` must return one verdict for each message, in their order"
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
            Self::Verdicts { .. } | Self::NotMigrated => None,
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
        assert_eq!(
            error.to_string(),
            "the database refused or could not be reached; the source of this error says why"
        );
        let source = error.source().map(ToString::to_string);
        assert!(source.is_some_and(|source| source.contains("secret")));
        assert!(RelayError::NotMigrated.source().is_none());
    }

    #[test]
    fn a_broken_contract_names_the_publisher_and_the_counts() {
        let error = RelayError::Verdicts {
            publisher: "shop::Mailer",
            messages: 3,
            verdicts: 2,
        };
        let message = error.to_string();
        for part in ["`shop::Mailer`", "2 verdicts", "3 messages"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
