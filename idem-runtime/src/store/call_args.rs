//! What a call passes to a database, and what it finds there.

use std::time::Duration;

use super::home::Home;
use super::isolation::Isolation;
use crate::key::StoredKey;
use crate::outbox::Row;

/// What is claimed.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    pub(crate) scope: &'a str,
    pub(crate) key: &'a StoredKey,
    pub(crate) fingerprint: Option<&'a StoredKey>,
}

/// How a transaction is opened.
#[derive(Debug)]
pub struct BeginArgs<'a> {
    pub(crate) home: &'a Home,
    /// The level of a transaction that is opened; `None` is the database's default.
    #[cfg_attr(
        not(any(feature = "postgres", feature = "mysql")),
        allow(dead_code, reason = "SQLite's transactions are serializable")
    )]
    pub(crate) isolation: Option<Isolation>,
    pub(crate) opening: Opening<'a>,
    pub(crate) fence: &'a Fence,
    /// How long the key is remembered from now on. `None` is for ever.
    pub(crate) retention: Option<Duration>,
    /// How long to wait in the database for another transaction that holds the key.
    #[cfg_attr(
        not(any(feature = "postgres", feature = "mysql")),
        allow(dead_code, reason = "SQLite waits for a writer, not for a key")
    )]
    pub(crate) wait: Duration,
}

/// What a transaction begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Opening<'a> {
    /// `#[outbox]` alone.
    Keyless,
    Claim(Claim<'a>),
    /// The claims of a batch follow, by `Store::claim_batch`.
    Batch,
}

impl<'a> Opening<'a> {
    pub(crate) const fn claim(&self) -> Option<&Claim<'a>> {
        match self {
            Self::Claim(claim) => Some(claim),
            Self::Keyless | Self::Batch => None,
        }
    }
}

/// Many keys of one scope.
#[derive(Debug)]
pub struct BatchClaim<'a> {
    pub(crate) home: &'a Home,
    pub(crate) scope: &'a str,
    /// Each key once, in byte order: two batches that share keys would otherwise wait for each
    /// other.
    pub(crate) claims: &'a [Claim<'a>],
    pub(crate) fence: &'a Fence,
    pub(crate) retention: Option<Duration>,
    /// How long to wait for all of them together.
    #[cfg_attr(
        not(any(feature = "postgres", feature = "mysql")),
        allow(dead_code, reason = "SQLite waits for a writer, not for a key")
    )]
    pub(crate) wait: Duration,
}

/// How a later statement knows that it is in the transaction that claimed.
#[derive(Clone, Debug)]
pub struct Fence {
    /// The savepoint right after the claim. It is named by the depth of its transaction: unique
    /// among the calls that are nested in one another, and one of a few names, since servers keep
    /// statistics for each text of a statement.
    pub(crate) savepoint: String,
    /// Whether the effects must be undoable while the claim stays.
    #[cfg_attr(
        not(feature = "postgres"),
        allow(dead_code, reason = "the others set the savepoint for every call")
    )]
    pub(crate) undoable: bool,
}

/// How a transaction ends.
#[derive(Debug)]
pub struct FinishArgs<'a> {
    #[cfg_attr(
        not(feature = "postgres"),
        allow(dead_code, reason = "only PostgreSQL has tables in schemas")
    )]
    pub(crate) home: &'a Home,
    /// None for `#[outbox]` alone, and one for each new key of a batch.
    pub(crate) ends: &'a [EndedClaim<'a>],
    pub(crate) fence: &'a Fence,
    pub(crate) result_version: u32,
    pub(crate) events: &'a [Row],
    /// Whether several bodies shared the transaction, so that none may leave another role or search
    /// path to the next.
    #[cfg_attr(
        not(feature = "postgres"),
        allow(dead_code, reason = "only PostgreSQL has both")
    )]
    pub(crate) shared: bool,
}

/// A claim, and what is stored with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndedClaim<'a> {
    pub(crate) claim: Claim<'a>,
    pub(crate) end: End<'a>,
}

/// What is stored for the next delivery.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End<'a> {
    /// `on_duplicate = "skip"`.
    Nothing,
    /// A result as JSON; `None` is JSON's `null`.
    Result(Option<&'a [u8]>),
    /// A permanent error as JSON.
    Error(Option<&'a [u8]>),
}

impl<'a> End<'a> {
    pub(crate) const fn state(self) -> State {
        match self {
            Self::Nothing => State::Done,
            Self::Result(_) => State::Result,
            Self::Error(_) => State::Error,
        }
    }

    pub(crate) const fn body(self) -> Option<&'a [u8]> {
        match self {
            Self::Nothing => None,
            Self::Result(body) | Self::Error(body) => body,
        }
    }
}

/// Who commits, and on what connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Nobody: the savepoint of a joined call is released, the caller's COMMIT decides.
    Release,
    /// We do, on a connection that goes back to its pool at once.
    Pooled,
    /// We do, on a connection that the caller keeps.
    Kept,
}

/// `idem_keys.state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// Claimed; committed so only when something else committed in our transaction.
    Claimed = 0,
    /// Done, with a result.
    Result = 1,
    /// Done, with a permanent error.
    Error = 2,
    /// Done; nothing was stored.
    Done = 3,
}

impl State {
    pub(crate) const fn from_code(code: i16) -> Self {
        match code {
            1 => Self::Result,
            2 => Self::Error,
            3 => Self::Done,
            _ => Self::Claimed,
        }
    }
}

/// A row of `idem_keys`.
#[derive(Clone, Debug)]
pub struct Record {
    pub(crate) state: State,
    pub(crate) fingerprint: Option<Vec<u8>>,
    pub(crate) result_version: u32,
    pub(crate) body: Option<Vec<u8>>,
}

impl Record {
    /// What was stored, to be stored again.
    pub(crate) fn as_end(&self) -> End<'_> {
        let body = self.body.as_deref();
        match self.state {
            State::Result => End::Result(body),
            State::Error => End::Error(body),
            State::Done | State::Claimed => End::Nothing,
        }
    }
}
