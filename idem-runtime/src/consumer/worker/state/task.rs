//! Statements and settlements as tasks.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use sqlx::Pool;
use tokio::task::JoinError;
use tokio::time::timeout;

use crate::consumer::lanes::Ticket;
use crate::execution::back_off;
use crate::guarded_connection::GuardedConnection;
use crate::source::SettleError;
use crate::store::{ErrorClass, Home, Lane, Store};
use crate::telemetry::Redacted;
use crate::telemetry::unlogged::unlogged;

/// What a task brought.
pub(crate) enum Done {
    Counted(Vec<(Ticket, Option<String>)>, Result<Vec<u32>, Failed>),
    Forgot(Result<(), Failed>),
    Buried(Ticket, Result<(), Failed>),
    Probed(Result<Home, Failed>),
    Parked(Vec<Ticket>, Duration, Result<u64, Failed>),
    /// With what the parking's generation was.
    Waiting(u64, Result<(u64, Vec<Lane>), Failed>),
    Settled(Vec<Settled>),
    Extended(Ticket, Result<Option<Duration>, SettleError>),
}

/// A settlement that has ended.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) ticket: Ticket,
    pub(crate) size: usize,
    pub(crate) what: &'static str,
    pub(crate) result: Result<(), SettleError>,
}

/// Why a statement brought nothing.
#[derive(Debug)]
pub(crate) enum Failed {
    Store(sqlx::Error),
    /// No answer came. The connection is closed.
    TimedOut(Duration),
}

impl Failed {
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

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => Redacted(error).fmt(f),
            Self::TimedOut(limit) => write!(f, "no answer within {limit:?}"),
        }
    }
}

/// Which pause follows a conflict: up to a third of a second.
const CONFLICT: u32 = 6;

type Statement<'c, T> = Pin<Box<dyn Future<Output = Result<T, sqlx::Error>> + Send + 'c>>;

/// Runs a statement on a connection of the pool. It is closed if the answer does not come in time.
/// If another transaction was in the way, this ends after a pause, since it is then tried again.
pub(crate) async fn on_connection<DB: Store, T>(
    pool: &Pool<DB>,
    limit: Duration,
    statement: impl for<'c> FnOnce(&'c mut DB::Connection) -> Statement<'c, T>,
) -> Result<T, Failed> {
    let asked = async {
        let mut conn = GuardedConnection::acquire(pool).await?;
        let answer = unlogged(statement(conn.connection())).await;
        conn.done(answer)
    };
    let asked = within(limit, asked).await;
    if asked.as_ref().is_err_and(Failed::is_conflict::<DB>) {
        back_off(CONFLICT).await;
    }
    asked
}

pub(crate) async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Failed> {
    match timeout(limit, asked).await {
        Ok(answer) => answer.map_err(Failed::Store),
        Err(_elapsed) => Err(Failed::TimedOut(limit)),
    }
}

/// A task of this crate's own panics only by a fault of this crate or of a source.
pub(crate) fn resume<T>(error: JoinError) -> T {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => unreachable!("a task of the consumer was aborted while it runs: {error}"),
    }
}
