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

mod call_args;
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

pub(crate) use call_args::{
    BatchClaim, BeginArgs, Claim, Commit, End, EndedClaim, Fence, FinishArgs, Opening, Record,
    State,
};
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
