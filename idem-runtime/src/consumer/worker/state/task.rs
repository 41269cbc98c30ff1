//! Statements and settlements as tasks.

use std::time::Duration;

use sqlx::Pool;

use crate::consumer::lanes::Ticket;
use crate::execution::back_off;
use crate::source::SettleError;
use crate::statement::{self, Statement, StatementError};
use crate::store::{Home, Lane, Store};

/// What a task brought.
pub(crate) enum Done {
    Counted(
        Vec<(Ticket, Option<String>)>,
        Result<Vec<u32>, StatementError>,
    ),
    Forgot(Result<(), StatementError>),
    Buried(Ticket, Result<(), StatementError>),
    Probed(Result<Home, StatementError>),
    Parked(Vec<Ticket>, Duration, Result<u64, StatementError>),
    /// With what the parking's generation was.
    Waiting(u64, Result<(u64, Vec<Lane>), StatementError>),
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

/// Which pause follows a conflict: up to a third of a second.
const CONFLICT: u32 = 6;

/// Runs a statement on a connection of the pool. If another transaction was in the way, this ends
/// after a pause, since it is then tried again.
pub(crate) async fn on_connection<DB: Store, T>(
    pool: &Pool<DB>,
    limit: Duration,
    statement: impl for<'c> FnOnce(&'c mut DB::Connection) -> Statement<'c, T>,
) -> Result<T, StatementError> {
    let asked = statement::on_connection(pool, limit, statement).await;
    if asked.as_ref().is_err_and(StatementError::is_conflict::<DB>) {
        back_off(CONFLICT).await;
    }
    asked
}
