//! What can go wrong, and what a consumer does with the delivery then.

use std::convert::Infallible;
use std::fmt;

use crate::contract::{DuplicateScope, SharedScopes};

/// Why a call of an idempotent handler did not return an [`Outcome`](crate::Outcome).
///
/// Messages hold neither keys nor payloads. `E` is the handler's own error type; any
/// `E: Debug + Display` makes this a [`std::error::Error`], so `anyhow` and `Box<dyn Error>` work as
/// `E` and around it.
///
/// What is in the database after each of them, and what a consumer does, stands in
/// [the guide](crate::guide::replay_and_errors#the-errors).
///
/// ```
/// use idem_runtime::{Disposition, Error};
///
/// let error: Error<std::io::Error> = Error::InFlight;
/// assert_eq!(error.disposition(), Disposition::Retry);
///
/// // the handler's own error, for callers that know what to do with that alone
/// let error = Error::Handler(std::io::Error::other("the bank is closed"));
/// assert_eq!(error.into_handler().unwrap().to_string(), "the bank is closed");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error<E = Infallible> {
    /// The handler returned this error and its effects are rolled back; or, under
    /// `on_error = "record"`, an earlier delivery stored it.
    Handler(E),
    /// An earlier delivery of the same key still runs, and `in_flight` says how long to wait for it.
    InFlight,
    /// The key is known with another fingerprint: two different messages under one ID.
    FingerprintMismatch,
    /// The handler returned `Ok`, but its transaction was no longer whole. Nothing was stored.
    RolledBack,
    /// The connection broke while COMMIT was under way: the effect is there once or not at all. The
    /// next delivery finds out.
    CommitUnknown,
    /// A result is stored, but it can't be read as the handler's return type.
    ResultUndecodable,
    /// The key was claimed and committed without its end.
    Unfinished,
    /// More than one handler of this program has the same scope: what one of them handled would be a
    /// duplicate for the other. Nothing was done.
    DuplicateScopes(&'static [DuplicateScope]),
    /// The tables of this crate are missing or older than this release.
    NotMigrated,
    /// The database refused, or could not be reached. Nothing was committed.
    Store(sqlx::Error),
}

/// What a consumer does with a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Disposition {
    /// Acknowledge: there is nothing left to do.
    Ack,
    /// Deliver again, later.
    Retry,
    /// Put aside for a person: another delivery would end the same way.
    DeadLetter,
}

/// Tells which errors of a handler are permanent.
///
/// ```
/// use idem_runtime::{Classify, Disposition};
///
/// enum PaymentError {
///     AccountClosed,
///     Database(sqlx::Error),
/// }
///
/// impl Classify for PaymentError {
///     fn disposition(&self) -> Disposition {
///         match self {
///             Self::AccountClosed => Disposition::DeadLetter,
///             Self::Database(_) => Disposition::Retry,
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which of its errors are permanent",
    label = "not `Classify`",
    note = "`impl idem_runtime::Classify for {Self} {{}}` calls every error transient: the delivery is retried"
)]
pub trait Classify {
    /// What to do with a delivery whose handler returned this error. Everything but
    /// [`Disposition::Retry`] is permanent: under `on_error = "record"` it is stored and replayed.
    fn disposition(&self) -> Disposition {
        Disposition::Retry
    }
}

impl Classify for Infallible {}
impl Classify for String {}
impl Classify for std::io::Error {}
impl Classify for sqlx::Error {}
impl Classify for Box<dyn std::error::Error> {}
impl Classify for Box<dyn std::error::Error + Send + Sync> {}

impl<E: Classify> Error<E> {
    /// What a consumer does with the delivery.
    ///
    /// [`FingerprintMismatch`](Self::FingerprintMismatch),
    /// [`ResultUndecodable`](Self::ResultUndecodable), [`Unfinished`](Self::Unfinished) and what can't be
    /// encoded end the same way every time: dead letters. A handler's error says so itself, through
    /// [`Classify`]. Everything else may succeed on the next delivery.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Handler(error) => error.disposition(),
            Self::FingerprintMismatch
            | Self::ResultUndecodable
            | Self::Unfinished
            | Self::Store(sqlx::Error::Encode(_)) => Disposition::DeadLetter,
            Self::InFlight
            | Self::RolledBack
            | Self::CommitUnknown
            | Self::DuplicateScopes(_)
            | Self::NotMigrated
            | Self::Store(_) => Disposition::Retry,
        }
    }
}

impl<E> Error<E> {
    /// The handler's own error, or this one.
    ///
    /// # Errors
    /// Every error that is not the handler's.
    pub fn into_handler(self) -> Result<E, Self> {
        match self {
            Self::Handler(error) => Ok(error),
            other => Err(other),
        }
    }

    /// The same error for another handler.
    pub(crate) fn map_handler<F>(self, map: impl FnOnce(E) -> F) -> Error<F> {
        match self {
            Self::Handler(error) => Error::Handler(map(error)),
            Self::InFlight => Error::InFlight,
            Self::FingerprintMismatch => Error::FingerprintMismatch,
            Self::RolledBack => Error::RolledBack,
            Self::CommitUnknown => Error::CommitUnknown,
            Self::ResultUndecodable => Error::ResultUndecodable,
            Self::Unfinished => Error::Unfinished,
            Self::DuplicateScopes(scopes) => Error::DuplicateScopes(scopes),
            Self::NotMigrated => Error::NotMigrated,
            Self::Store(error) => Error::Store(error),
        }
    }

    /// Whether an operator should know of it at once: a bug, a setup that is not done, or an end that nobody knows.
    pub(crate) const fn is_alarming(&self) -> bool {
        matches!(
            self,
            Self::FingerprintMismatch
                | Self::RolledBack
                | Self::CommitUnknown
                | Self::ResultUndecodable
                | Self::Unfinished
                | Self::DuplicateScopes(_)
                | Self::NotMigrated
        )
    }

    /// The name of the variant, as it stands in logs and metrics.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Handler(_) => "handler_error",
            Self::InFlight => "in_flight",
            Self::FingerprintMismatch => "fingerprint_mismatch",
            Self::RolledBack => "rolled_back",
            Self::CommitUnknown => "commit_unknown",
            Self::ResultUndecodable => "result_undecodable",
            Self::Unfinished => "unfinished",
            Self::DuplicateScopes(_) => "duplicate_scopes",
            Self::NotMigrated => "not_migrated",
            Self::Store(_) => "store_error",
        }
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handler(error) => return error.fmt(f),
            Self::DuplicateScopes(scopes) => return SharedScopes(scopes).fmt(f),
            // What the driver says is the source: some servers quote keys and rows in it.
            Self::Store(_) => "the database refused or could not be reached, and nothing was committed",
            Self::InFlight => {
                "an earlier delivery with this key is still running; deliver again later"
            }
            Self::FingerprintMismatch => {
                "this key was handled with another fingerprint: the producer gave one ID to two messages"
            }
            Self::RolledBack => {
                "the handler returned `Ok` but its transaction was no longer whole, and nothing was stored; \
                 look for a swallowed SQL error, a COMMIT or ROLLBACK in the handler, DDL on MySQL, \
                 or a nested transaction that was neither committed nor dropped"
            }
            Self::CommitUnknown => {
                "the connection broke during COMMIT: the effect is there once or not at all; deliver again to find out"
            }
            Self::ResultUndecodable => {
                "a result is stored for this key but can't be read as the handler's return type; \
                 it was not executed again. Deploy the type that wrote it, or delete the row of `idem_keys` to execute again"
            }
            Self::Unfinished => {
                "this key was claimed and committed without its end, by a COMMIT or DDL in the handler, or by a \
                 handler that called itself with the same key; check what it did, then delete its row of `idem_keys` to execute again"
            }
            Self::NotMigrated => {
                "the tables `idem_keys`, `idem_outbox` and `idem_dead_letters` are missing or outdated; \
                 call `idem_runtime::migrate(&pool).await` at start-up, or apply the SQL in `migrations/`"
            }
        })
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn all() -> [Error<sqlx::Error>; 10] {
        [
            Error::Handler(sqlx::Error::RowNotFound),
            Error::InFlight,
            Error::FingerprintMismatch,
            Error::RolledBack,
            Error::CommitUnknown,
            Error::ResultUndecodable,
            Error::Unfinished,
            Error::DuplicateScopes(&[]),
            Error::NotMigrated,
            Error::Store(sqlx::Error::Protocol("secret".into())),
        ]
    }

    /// Cure: what the driver says is the source, never the message.
    #[test]
    fn each_error_says_something_of_its_own_and_shows_no_data() {
        let messages: std::collections::HashSet<_> =
            all().iter().map(ToString::to_string).collect();
        assert_eq!(messages.len(), 10);
        for message in messages {
            assert!(
                message.len() > 20 && !message.contains("secret"),
                "{message}"
            );
        }
    }

    #[test]
    fn only_the_databases_error_is_a_source() {
        let sources = all().map(|error| error.source().map(ToString::to_string));
        let [.., store] = &sources;
        assert!(
            store
                .as_ref()
                .is_some_and(|source| source.contains("secret"))
        );
        assert_eq!(sources.iter().flatten().count(), 1);
    }

    #[test]
    fn what_would_end_the_same_way_every_time_is_a_dead_letter() {
        use Disposition::{DeadLetter, Retry};
        assert_eq!(
            all().map(|error| error.disposition()),
            [
                Retry, Retry, DeadLetter, Retry, Retry, DeadLetter, DeadLetter, Retry, Retry, Retry
            ]
        );
        let unencoded = Error::<Infallible>::Store(sqlx::Error::Encode("".into()));
        assert_eq!(unencoded.disposition(), DeadLetter);
    }

    #[test]
    fn an_error_stays_itself_for_another_handler() {
        let labels = all().map(|error| error.label());
        let mapped = all().map(|error| error.map_handler(|_| "mapped"));
        assert_eq!(mapped.each_ref().map(Error::label), labels);
        let [handler, in_flight, ..] = mapped;
        assert_eq!(handler.into_handler().ok(), Some("mapped"));
        assert!(matches!(in_flight.into_handler(), Err(Error::InFlight)));
    }
}
