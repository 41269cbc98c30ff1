//! What a database must do for this crate. Each database is a file in this folder.

#![cfg_attr(
    not(any(feature = "postgres", feature = "mysql", feature = "sqlite")),
    allow(dead_code, unused_imports, reason = "no database is on")
)]

use std::fmt;
use std::future::{self, Future};
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::{Database, Pool};
use sqlx_core::transaction::TransactionManager as _;

use self::depth::counted;
use crate::key::StoredKey;
use crate::outbox::Row;

mod consumer_store;
mod depth;
mod error_class;
mod home;
mod inbox_store;
mod isolation;
mod kept_message;
mod membership;
#[cfg(feature = "mysql")]
pub(crate) mod mysql;
mod outbox_store;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;
mod stored_event;
#[cfg(test)]
mod stub_error;
#[cfg(test)]
mod tests;
mod verdict;

pub use consumer_store::ConsumerStore;
pub(crate) use consumer_store::{Letter, LetterRow, NewAttempt};
pub(crate) use error_class::ErrorClass;
pub(crate) use home::Home;
#[cfg(test)]
pub(crate) use inbox_store::tests::taken;
pub(crate) use inbox_store::{INBOX, InboxName, InboxStore, Lane, PARKED, TakenMessage, lane};
pub use isolation::Isolation;
pub(crate) use kept_message::{KeptMessage, MessageId};
pub(crate) use membership::{Changes, Member, Membership, RelaySession, Topics};
#[cfg(fuzzing)]
pub(crate) use outbox_store::time;
pub use outbox_store::{DeadLetterFilter, TopicBacklog};
pub(crate) use outbox_store::{
    DeadLetterRow, FailedAttempt, FoundEvent, FoundRow, Horizon, Limit, Look, LookArgs,
    NewDeadLetter, OutboxStore, Place, Selection, SeqRange, Settlement,
};
#[cfg(test)]
pub(crate) use stub_error::stub_error;

/// A database that keeps the claims and the outbox: PostgreSQL, MySQL/MariaDB, SQLite.
///
/// Sealed: what this crate promises depends on how each implementation arranges its statements.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a database that this crate supports, or its feature is off",
    note = "turn on the feature `postgres`, `mysql` or `sqlite` of `idem-runtime`"
)]
#[doc(hidden)]
pub trait Store: Database + fmt::Debug {
    /// `db.system.name` of OpenTelemetry.
    const SYSTEM: &'static str;

    /// The schema's DDL, one script a version, oldest first.
    const MIGRATIONS: &'static [&'static str];

    /// How many transactions are open on this connection, once everything that is queued on it has
    /// run. Each nested one counts. Nothing else may ask sqlx for it.
    ///
    /// What is queued can only lower the count. So a count of `floor`, below which the caller
    /// expects none, is right without asking the connection.
    fn depth(
        conn: &mut Self::Connection,
        floor: usize,
    ) -> impl Future<Output = Result<usize, sqlx::Error>> + Send {
        let _ = floor;
        // PostgreSQL's and MySQL's drivers count a rollback when they queue it.
        future::ready(Ok(counted::<Self>(conn)))
    }

    /// Where the tables are, as this connection finds them, and which database's they are.
    ///
    /// Outside of a transaction of sqlx's it also reports a transaction that somebody opened by raw
    /// SQL, by [`ErrorClass::ForeignTransaction`], or else [`open`](Self::open) does. Touches
    /// nothing in it.
    fn find_home(
        conn: &mut Self::Connection,
    ) -> impl Future<Output = Result<Home, sqlx::Error>> + Send;

    /// Opens a transaction on an idle connection, claims in it, and sets the fence.
    ///
    /// After an error the connection may be inside a transaction: [`abandon`](Self::abandon) it.
    /// After [`ErrorClass::ForeignTransaction`] that transaction is not ours: leave it alone.
    fn open(
        conn: &mut Self::Connection,
        args: &BeginArgs<'_>,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Claims many keys at once, in a transaction that [`open`](Self::open) began for a batch or
    /// that the caller opened, and sets the fence. For each key: the row that an earlier delivery
    /// left, or nothing if this claimed it.
    ///
    /// A key that is held elsewhere is waited for. [`ErrorClass::TimedOut`] says that one of them
    /// was not free in time, and not which.
    fn claim_batch(
        conn: &mut Self::Connection,
        args: &BatchClaim<'_>,
    ) -> impl Future<Output = Result<Vec<Option<Record>>, sqlx::Error>> + Send;

    /// Sets a savepoint of sqlx's in a transaction that the caller opened. Dropped half way, it
    /// leaves that transaction as it was.
    fn nest(conn: &mut Self::Connection) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        Self::TransactionManager::begin(conn, None)
    }

    /// Rolls back to that savepoint. If the handler ended the caller's transaction, the caller's
    /// COMMIT fails later on.
    fn unnest(conn: &mut Self::Connection) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        Self::TransactionManager::rollback(conn)
    }

    /// Whether the transaction that the caller opened is at least of this level, as far as that can
    /// be known.
    fn is_isolated(
        conn: &mut Self::Connection,
        level: Isolation,
    ) -> impl Future<Output = Result<bool, sqlx::Error>> + Send;

    /// The same as [`open`](Self::open) inside a transaction that the caller opened: the claim, and
    /// the fence. `false`: the key is already there.
    fn join(
        conn: &mut Self::Connection,
        args: &BeginArgs<'_>,
    ) -> impl Future<Output = Result<bool, sqlx::Error>> + Send;

    /// Rolls back what [`open`](Self::open) began, whole or half, leaves the connection as a pool
    /// hands it out, and looks the key up in the same round trip.
    fn abandon(
        conn: &mut Self::Connection,
        lookup: Option<(&Home, &Claim<'_>)>,
    ) -> impl Future<Output = Result<Option<Record>, sqlx::Error>> + Send;

    /// The row of a key. Inside a transaction it sees the row that the claim met, whatever the
    /// isolation.
    fn lookup(
        conn: &mut Self::Connection,
        home: &Home,
        claim: &Claim<'_>,
        in_transaction: bool,
    ) -> impl Future<Output = Result<Option<Record>, sqlx::Error>> + Send;

    /// How long [`drain`](Self::drain) may take before the connection is closed all the same.
    const DRAIN_LIMIT: Option<Duration> = None;

    /// Waits until the server is done with what was sent to it and no transaction is open.
    fn drain(conn: &mut Self::Connection) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Undoes the effects since the claim and keeps the claim (`on_error = "record"`).
    fn undo_effects(
        conn: &mut Self::Connection,
        fence: &Fence,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Writes the events and the stored results and checks the fence.
    ///
    /// With `commit`, also commits: `conn` was opened by [`open`](Self::open).
    fn finish(
        conn: &mut Self::Connection,
        args: &FinishArgs<'_>,
        commit: Commit,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// What an error of one of our own statements means.
    fn classify(error: &sqlx::Error) -> ErrorClass;

    /// Whether an error of a handler's statement is a [`ErrorClass::Conflict`].
    fn is_conflict(error: &dyn DatabaseError) -> bool;

    /// The version of the tables; `None` if they are missing.
    fn schema_version(
        pool: &Pool<Self>,
    ) -> impl Future<Output = Result<Option<u32>, sqlx::Error>> + Send;

    /// What handlers need and do not find here: one sentence each, with its fix.
    fn missing_requirements(
        pool: &Pool<Self>,
    ) -> impl Future<Output = Result<Vec<String>, sqlx::Error>> + Send {
        let _ = pool;
        async { Ok(Vec::new()) }
    }

    /// What could break the promise for handlers that write to this database: one sentence each,
    /// with its fix.
    fn warnings(pool: &Pool<Self>)
    -> impl Future<Output = Result<Vec<String>, sqlx::Error>> + Send;

    /// Applies the migrations past the version that is there, one migrator at a time. Where the
    /// tables were moved to a schema of another name, leads this crate's functions to them again.
    fn migrate(pool: &Pool<Self>) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Gives this database a new namespace, as a copy of another one needs.
    fn renew_namespace(pool: &Pool<Self>) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Deletes at most `limit` of each kind that is past its time; how many of each.
    fn purge(
        pool: &Pool<Self>,
        limit: u32,
        keep: Keep,
    ) -> impl Future<Output = Result<Deleted, sqlx::Error>> + Send;
}

/// How long to keep what has no time of its own.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Attempts that nobody touched.
    pub(crate) attempts: Duration,
    /// Messages of an inbox that are done.
    pub(crate) done: Duration,
}

/// How many rows a purge deleted.
#[derive(Clone, Copy, Debug)]
pub struct Deleted {
    pub(crate) keys: u64,
    pub(crate) attempts: u64,
    pub(crate) inbox: u64,
}

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
    /// The claims of a batch follow, by [`claim_batch`](Store::claim_batch).
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
