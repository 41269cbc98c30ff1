//! What an inbox and its deliveries share.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::Pool;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use super::acks::Acks;
use crate::execution::back_off;
use crate::guarded_connection::GuardedConnection;
use crate::statement::Statement;
use crate::store::{ErrorClass, Home, InboxName, InboxStore};
use crate::telemetry::unlogged::unlogged;

/// How often a statement is tried that another transaction is in the way of.
const ATTEMPTS: u32 = 5;

/// No answer of the database is waited for longer than this, or all statements behind it would wait,
/// too. It is above the time that SQLite waits for a lock unless told otherwise.
const LIMIT: Duration = Duration::from_secs(8);

#[derive(Debug)]
pub(super) struct Shared<DB: InboxStore> {
    pub(super) pool: Pool<DB>,
    pub(super) origin: &'static str,
    pub(super) name: String,
    pub(super) poll_interval: Duration,
    pub(super) lease: Duration,
    pub(super) stored: Notify,
    /// One statement at a time: an inbox is one of many that want the pool's connections.
    pub(super) statements: Semaphore,
    /// What waits for its turn to be written as done.
    pub(super) acks: Acks,
    pub(super) home: Mutex<Option<Home>>,
}

impl<DB: InboxStore> Shared<DB> {
    fn inbox(&self) -> InboxName<'_> {
        InboxName {
            origin: self.origin,
            name: &self.name,
        }
    }

    /// Runs a statement when it is its turn.
    pub(super) async fn run<T>(
        &self,
        statement: impl for<'c> Fn(&'c mut DB::Connection, &'c Home, InboxName<'c>) -> Statement<'c, T>
        + Send
        + Sync,
    ) -> Result<T, sqlx::Error> {
        let _turn = self.statements.acquire().await;
        self.run_now(statement).await
    }

    /// Runs a statement of which it is the turn, again if another transaction was in the way.
    pub(super) async fn run_now<T>(
        &self,
        statement: impl for<'c> Fn(&'c mut DB::Connection, &'c Home, InboxName<'c>) -> Statement<'c, T>
        + Send
        + Sync,
    ) -> Result<T, sqlx::Error> {
        let mut attempts = 1;
        loop {
            // The pool has its own limit.
            let mut conn = GuardedConnection::<DB>::acquire(&self.pool).await?;
            let asked = async {
                let home = match self.known_home() {
                    Some(home) => home,
                    None => DB::find_home(conn.connection()).await?,
                };
                self.know_home(Some(home.clone()));
                unlogged(statement(conn.connection(), &home, self.inbox())).await
            };
            let done = timeout(LIMIT, asked).await;
            let late = |_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
            let done = conn.done(done.unwrap_or_else(late));
            let class = done.as_ref().err().map(DB::classify);
            match class {
                Some(ErrorClass::Conflict | ErrorClass::TimedOut) if attempts < ATTEMPTS => {
                    back_off(attempts).await;
                    attempts += 1;
                }
                Some(_) => {
                    // The schema may have been renamed.
                    self.know_home(None);
                    return done;
                }
                None => return done,
            }
        }
    }

    fn known_home(&self) -> Option<Home> {
        let home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        home.clone()
    }

    fn know_home(&self, home: Option<Home>) {
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = home;
    }
}
