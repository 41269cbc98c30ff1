//! Statements as tasks, each within a time limit.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use sqlx::Pool;
use tokio::task::JoinError;
use tokio::time::{Instant, timeout};

use super::settling::Batch;
use crate::guarded_connection::GuardedConnection;
use crate::relay::lanes::LaneId;
use crate::relay::plan::{Overlap, Plan};
use crate::store::{FoundEvent, Home, Look, Member, OutboxStore, Place, SeqRange};
use crate::telemetry::Redacted;

/// What a statement brought.
pub(crate) enum Done<DB: OutboxStore> {
    Session(Result<(Home, DB::Session), Failure>),
    /// With the time before it was asked.
    Coordinated(Instant, Result<(Home, Result<Plan, Overlap>), Failure>),
    Members(Result<Vec<Member>, Failure>),
    /// With the generation of the cursor.
    Look(u64, Result<Look, Failure>),
    GivenUp(Result<Vec<SeqRange>, Failure>),
    Read(Vec<(LaneId, Place)>, Result<Vec<FoundEvent>, Failure>),
    Places(u64, Result<Vec<Place>, Failure>),
    HasEvents(Result<bool, Failure>),
    Settled(Batch, Result<bool, Failure>),
}

/// Why a statement brought nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    Store(sqlx::Error),
    /// No answer came within this time. The connection is closed, since the answer may still come.
    TimedOut(Duration),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => Redacted(error).fmt(f),
            Self::TimedOut(limit) => write!(
                f,
                "no answer within {limit:?}, the wait for a connection of the pool included"
            ),
        }
    }
}

impl Failure {
    pub(crate) fn into_error(self) -> sqlx::Error {
        match self {
            Self::Store(error) => error,
            Self::TimedOut(_) => sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()),
        }
    }
}

pub(crate) type Statement<'c, T> =
    Pin<Box<dyn Future<Output = Result<T, sqlx::Error>> + Send + 'c>>;

/// Runs a statement on a connection of the pool. It is closed if the answer does not come in time.
pub(crate) async fn on_connection<DB: OutboxStore, T>(
    pool: &Pool<DB>,
    limit: Duration,
    statement: impl for<'c> FnOnce(&'c mut DB::Connection) -> Statement<'c, T>,
) -> Result<T, Failure> {
    let asked = async {
        let mut conn = GuardedConnection::acquire(pool).await?;
        let answer = statement(conn.connection()).await;
        conn.done(answer)
    };
    within(limit, asked).await
}

pub(crate) async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Failure> {
    match timeout(limit, asked).await {
        Ok(answer) => answer.map_err(Failure::Store),
        Err(_elapsed) => Err(Failure::TimedOut(limit)),
    }
}

/// A task panics only by a bug of this crate: publishers run behind `catch_unwind`.
pub(crate) fn resume<T>(error: JoinError) -> T {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => unreachable!("a task of the relay was aborted while it runs: {error}"),
    }
}
