//! What can go wrong in a call of a handler.

mod not_faithful;

use std::convert::Infallible;
use std::fmt;

use crate::contract::{DuplicateScope, SharedScopes};
use crate::disposition::{Classify, Disposition};
use crate::outcome::Outcome;

pub(crate) use self::not_faithful::NotFaithful;

/// Why a call of an idempotent handler did not return an [`Outcome`](crate::Outcome).
///
/// Messages hold neither keys nor payloads. `E` is the handler's own error type; any
/// `E: Debug + Display` makes this a [`std::error::Error`], so `anyhow` and `Box<dyn Error>` work
/// as `E` and around it.
///
/// [The guide](crate::guide::replay_and_errors#the-errors) says of each what is in the database
/// afterwards, and what a consumer does.
///
/// ```
/// use idem_runtime::{Disposition, Error};
///
/// let error: Error<std::io::Error> = Error::InFlight;
/// assert_eq!(error.disposition(), Disposition::Retry);
///
/// // the handler's own error, for callers that know what to do with that alone
/// let error = std::io::Error::other("the bank is closed");
/// let error = Error::Handler { error, replayed: false };
/// assert_eq!(error.into_handler().unwrap().to_string(), "the bank is closed");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error<E = Infallible> {
    /// The handler returned an error, and its effects are rolled back.
    Handler {
        /// What the handler returned.
        error: E,
        /// Whether an earlier delivery returned it and stored it, under `on_error = "record"`. This
        /// delivery then ran nothing.
        replayed: bool,
    },
    /// An earlier delivery of the same key still runs, and did not end in the time that `in_flight`
    /// gives.
    InFlight,
    /// The key is known with another fingerprint: two different messages under one ID.
    FingerprintMismatch,
    /// The handler returned `Ok`, but its transaction was no longer whole. No result was stored.
    RolledBack,
    /// The connection broke while COMMIT was under way: the effect is there once or not at all. The
    /// next delivery finds out.
    CommitUnknown,
    /// A result is stored, but it can't be read as the handler's return type.
    ResultUndecodable,
    /// A duplicate would not get the result that the handler returned, so the first delivery fails
    /// before COMMIT. Nothing was stored.
    ResultNotFaithful {
        /// The result's type, as [`std::any::type_name`] names it.
        type_name: &'static str,
        /// Why the value could not be written as JSON or read back. `None`: it was read back as
        /// another value.
        cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The key is claimed but has no result: a COMMIT or DDL in the handler committed the claim too
    /// early, or the handler called itself with its own key.
    Unfinished,
    /// More than one handler of this program has the same scope: what one of them handled would be
    /// a duplicate for the other. Nothing was done.
    DuplicateScopes(&'static [DuplicateScope]),
    /// The key of this message is empty, or a part of it is. Nothing was done.
    EmptyKey,
    /// The connection that was passed to the handler is inside a transaction that sqlx did not
    /// open. Nothing was done, and that transaction is untouched. See [the
    /// guide](crate::guide::joining_a_transaction#a-transaction-that-sqlx-did-not-open).
    ForeignTransaction,
    /// The handler asks for a stricter isolation level than the transaction that it was called in
    /// has. On MySQL and MariaDB that can't be known, so there the handler takes no transaction of
    /// a caller. Nothing was done.
    IsolationTooWeak {
        /// The level that the handler asks for.
        needed: &'static str,
    },
    /// The role that the handler took (`SET ROLE`) may not use the schema of this crate's tables,
    /// or a function in it. Nothing was committed.
    NotPermitted {
        /// The statement to run, with the name of the role to fill in.
        grant: String,
    },
    /// What this call stores is too large for one statement of the database. It was not sent, and
    /// nothing was committed.
    TooLarge {
        /// The size of the statement that stores the result or error, and the events, in bytes.
        size: u64,
        /// The largest that the database takes: `max_allowed_packet` on MySQL and MariaDB.
        limit: u64,
    },
    /// An event of this call has the ID of one that is still in the outbox, and another content.
    /// Nothing was committed.
    EventConflict,
    /// The body of a batch handler returned more or fewer results than it got events. Nothing was
    /// committed.
    BatchLength {
        /// How many events the body got.
        events: usize,
        /// How many results it returned.
        results: usize,
    },
    /// Several handlers' bodies shared the transaction of a batch, and one of them left another role
    /// or search path to the next. Nothing was committed.
    SettingsChanged,
    /// The tables of this crate are missing or older than this release, or their schema was
    /// renamed: run [`migrate`](crate::migrate). Or this role may not use their schema:
    /// [`verify`](crate::verify) says so.
    NotMigrated,
    /// The database refused or could not be reached, or an event does not serialize. Nothing was
    /// committed.
    Store(sqlx::Error),
}

/// What one delivery of a batch gets: its result, or an error that concerns it alone, such as a
/// stored error, another fingerprint or an empty key. An error that concerns all of them is the
/// error of the call, and then nothing was committed, unless it is
/// [`CommitUnknown`](Error::CommitUnknown).
pub type BatchEntry<T, R, E> = Result<Outcome<T, R>, Error<E>>;

impl<E: Classify> Error<E> {
    /// What a consumer does with the delivery.
    ///
    /// A handler's error says so itself, through [`Classify`]. What would end the same way every
    /// time is a dead letter: a key that is empty or known with another fingerprint, a result that
    /// can't be stored or read, a call that the handler's code or its rights never let succeed.
    /// Everything else may succeed on the next delivery.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Handler { error, .. } => error.disposition(),
            Self::FingerprintMismatch
            | Self::ResultUndecodable
            | Self::ResultNotFaithful { .. }
            | Self::Unfinished
            | Self::EmptyKey
            | Self::IsolationTooWeak { .. }
            | Self::NotPermitted { .. }
            | Self::TooLarge { .. }
            | Self::EventConflict
            | Self::BatchLength { .. }
            | Self::Store(sqlx::Error::Encode(_)) => Disposition::DeadLetter,
            Self::InFlight
            | Self::RolledBack
            | Self::CommitUnknown
            | Self::DuplicateScopes(_)
            | Self::ForeignTransaction
            | Self::SettingsChanged
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
            Self::Handler { error, .. } => Ok(error),
            other => Err(other),
        }
    }

    /// The same error for another handler.
    pub(crate) fn map_handler<F>(self, map: impl FnOnce(E) -> F) -> Error<F> {
        match self {
            Self::Handler { error, replayed } => Error::Handler {
                error: map(error),
                replayed,
            },
            Self::InFlight => Error::InFlight,
            Self::FingerprintMismatch => Error::FingerprintMismatch,
            Self::RolledBack => Error::RolledBack,
            Self::CommitUnknown => Error::CommitUnknown,
            Self::ResultUndecodable => Error::ResultUndecodable,
            Self::ResultNotFaithful { type_name, cause } => {
                Error::ResultNotFaithful { type_name, cause }
            }
            Self::Unfinished => Error::Unfinished,
            Self::EmptyKey => Error::EmptyKey,
            Self::ForeignTransaction => Error::ForeignTransaction,
            Self::IsolationTooWeak { needed } => Error::IsolationTooWeak { needed },
            Self::NotPermitted { grant } => Error::NotPermitted { grant },
            Self::TooLarge { size, limit } => Error::TooLarge { size, limit },
            Self::EventConflict => Error::EventConflict,
            Self::BatchLength { events, results } => Error::BatchLength { events, results },
            Self::SettingsChanged => Error::SettingsChanged,
            Self::DuplicateScopes(scopes) => Error::DuplicateScopes(scopes),
            Self::NotMigrated => Error::NotMigrated,
            Self::Store(error) => Error::Store(error),
        }
    }

    /// Whether an operator should know of it at once: a bug, a setup that is not done, or an end
    /// that nobody knows.
    pub(crate) const fn is_alarming(&self) -> bool {
        !matches!(self, Self::Handler { .. } | Self::InFlight | Self::Store(_))
    }

    /// The name of the variant in logs and metrics.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Handler {
                replayed: false, ..
            } => "handler_error",
            Self::Handler { replayed: true, .. } => "replayed_error",
            Self::InFlight => "in_flight",
            Self::FingerprintMismatch => "fingerprint_mismatch",
            Self::RolledBack => "rolled_back",
            Self::CommitUnknown => "commit_unknown",
            Self::ResultUndecodable => "result_undecodable",
            Self::ResultNotFaithful { .. } => "result_not_faithful",
            Self::Unfinished => "unfinished",
            Self::EmptyKey => "empty_key",
            Self::ForeignTransaction => "foreign_transaction",
            Self::IsolationTooWeak { .. } => "isolation_too_weak",
            Self::NotPermitted { .. } => "not_permitted",
            Self::TooLarge { .. } => "too_large",
            Self::EventConflict => "event_conflict",
            Self::BatchLength { .. } => "batch_length",
            Self::SettingsChanged => "settings_changed",
            Self::DuplicateScopes(_) => "duplicate_scopes",
            Self::NotMigrated => "not_migrated",
            Self::Store(_) => "store_error",
        }
    }
}

impl<E> From<NotFaithful> for Error<E> {
    fn from(refused: NotFaithful) -> Self {
        Self::ResultNotFaithful {
            type_name: refused.type_name,
            cause: refused.cause.map(Into::into),
        }
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handler { error, .. } => return error.fmt(f),
            Self::DuplicateScopes(scopes) => return SharedScopes(scopes).fmt(f),
            // What the driver says is the source: some servers quote keys and rows in it.
            Self::Store(_) => {
                "the database refused or could not be reached, or an event does not serialize; nothing was committed. \
                 The source of this error says why"
            }
            Self::InFlight => {
                "an earlier delivery with this key is still running; deliver again later"
            }
            Self::FingerprintMismatch => {
                "this key was handled with another fingerprint: the producer gave one ID to two messages; \
                 have it give each message an ID of its own, or make what differs a part of the key"
            }
            Self::RolledBack => {
                "the handler returned `Ok` but its transaction was no longer whole, and no result was stored; \
                 look for a swallowed SQL error, a COMMIT or ROLLBACK in the handler, DDL on MySQL, \
                 or a nested transaction that was neither committed nor dropped. What a COMMIT in the handler \
                 committed is there"
            }
            Self::CommitUnknown => {
                "the connection broke during COMMIT: the effect is there once or not at all; deliver again to find out"
            }
            Self::ResultUndecodable => {
                "a result is stored for this key but can't be read as the handler's return type; \
                 it was not executed again. Deploy the type that wrote it, or delete the row of `idem_keys` to execute again"
            }
            Self::ResultNotFaithful { type_name, cause } => {
                let what = not_faithful::what(cause.is_some());
                return write!(
                    f,
                    "the `{type_name}` that the handler returned {what}, so a duplicate would not get it; nothing was stored. \
                     Look for nested `Option`s, NaN or infinity, `#[serde(skip)]` and `#[serde(untagged)]`, \
                     or say `on_duplicate = \"skip\"`"
                );
            }
            Self::Unfinished => {
                "this key is claimed but has no result: a COMMIT or DDL in the handler committed the claim too early, or the \
                 handler called itself with the same key; check what it did, then delete its row of `idem_keys` to execute again"
            }
            Self::EmptyKey => {
                "the key of this message is empty, so every message without an ID would count as a duplicate of it; \
                 have the producer set an ID, or give the handler another `key = \"...\"`"
            }
            Self::ForeignTransaction => {
                "the connection is inside a transaction that sqlx did not open: raw SQL began it, or a dropped call left it behind. \
                 Nothing was done. Begin with sqlx's `begin()` and pass that transaction, or end the transaction first"
            }
            Self::IsolationTooWeak { needed } => {
                return write!(
                    f,
                    "the handler needs the isolation level `{needed}`, and the transaction that it was called in is weaker, or on \
                     MySQL and MariaDB can't be checked; pass the pool, or elsewhere begin that transaction at this level"
                );
            }
            Self::NotPermitted { grant } => {
                return write!(
                    f,
                    "the role that the handler took may not use the schema of `idem_keys` or a function in it, and nothing was \
                     committed; run `{grant}`, or take the role back with `RESET ROLE` before the handler returns. \
                     If that grant is there, `idem_runtime::verify` says what else is missing"
                );
            }
            Self::TooLarge { size, limit } => {
                return write!(
                    f,
                    "what this call stores takes a statement of {size} bytes, and the database takes at most {limit}; nothing was \
                     committed. Return less, put less into the events, or raise the limit (`max_allowed_packet` on MySQL and MariaDB)"
                );
            }
            Self::EventConflict => {
                "an earlier execution's event with the same ID and another content is still in the outbox, so this one can't be \
                 written and nothing was committed. The message came again after its retention, or its row of `idem_keys` was \
                 deleted: lengthen the retention, or delete that event"
            }
            Self::BatchLength { events, results } => {
                return write!(
                    f,
                    "the body of this batch handler got {events} events and returned {results} results, and nothing was committed; \
                     return one result for each event of the slice, in its order. Rows of `RETURNING` come in no order, \
                     and none for a row that was not there"
                );
            }
            Self::SettingsChanged => {
                "a body changed the role or the search path, and the next body of the same transaction would have run with it; \
                 nothing was committed. Set both back before the body returns, or don't call this handler in batches"
            }
            Self::NotMigrated => {
                "the tables `idem_keys`, `idem_outbox` and `idem_dead_letters` are missing or outdated; \
                 call `idem_runtime::migrate(&pool).await` at start-up, or apply the SQL in `migrations/`. \
                 On PostgreSQL a role without `USAGE` on their schema can't see them: `idem_runtime::verify` says so"
            }
        })
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            Self::ResultNotFaithful {
                cause: Some(cause), ..
            } => Some(cause.as_ref()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
