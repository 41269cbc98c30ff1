//! Statements of what runs in the background, each within a time limit.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use sqlx::Pool;
use tokio::task::JoinError;
use tokio::time::timeout;

use crate::guarded_connection::GuardedConnection;
use crate::store::{ErrorClass, Store};
use crate::telemetry::Redacted;
use crate::telemetry::unlogged::unlogged;

/// Why a statement brought nothing.
#[derive(Debug)]
pub(crate) enum StatementError {
    Store(sqlx::Error),
    /// No answer came within this time. The connection is closed, since the answer may still come.
    TimedOut(Duration),
}

impl StatementError {
    pub(crate) fn class<DB: Store>(&self) -> ErrorClass {
        match self {
            Self::Store(error) => DB::classify(error),
            Self::TimedOut(_) => ErrorClass::Unknown,
        }
    }

    /// Whether another transaction was in the way.
    pub(crate) fn is_conflict<DB: Store>(&self) -> bool {
        matches!(
            self.class::<DB>(),
            ErrorClass::Conflict | ErrorClass::TimedOut
        )
    }

    pub(crate) fn into_error(self) -> sqlx::Error {
        match self {
            Self::Store(error) => error,
            Self::TimedOut(_) => sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()),
        }
    }
}

impl fmt::Display for StatementError {
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

/// What a statement will bring.
pub(crate) type Statement<'c, T> =
    Pin<Box<dyn Future<Output = Result<T, sqlx::Error>> + Send + 'c>>;

/// Runs a statement on a connection of the pool, unseen by logs. It is closed if the answer does not come in time.
pub(crate) async fn on_connection<DB: Store, T>(
    pool: &Pool<DB>,
    limit: Duration,
    statement: impl for<'c> FnOnce(&'c mut DB::Connection) -> Statement<'c, T>,
) -> Result<T, StatementError> {
    let asked = async {
        let mut conn = GuardedConnection::acquire(pool).await?;
        let answer = unlogged(statement(conn.connection())).await;
        conn.done(answer)
    };
    within(limit, asked).await
}

pub(crate) async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StatementError> {
    match timeout(limit, asked).await {
        Ok(answer) => answer.map_err(StatementError::Store),
        Err(_elapsed) => Err(StatementError::TimedOut(limit)),
    }
}

/// Goes on with the panic of a task that nobody aborts.
pub(crate) fn resume<T>(error: JoinError) -> T {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => unreachable!("a task was aborted while it runs: {error}"),
    }
}
