//! What an inbox and its deliveries share.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::Pool;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::execution::back_off;
use crate::guarded_connection::GuardedConnection;
use crate::store::{ErrorClass, Home, InboxName, InboxStore, TakenMessage};
use crate::telemetry::unlogged::unlogged;

/// How often a statement is tried that another transaction is in the way of.
const ATTEMPTS: u32 = 5;

#[derive(Debug)]
pub(super) struct Shared<DB: InboxStore> {
    pub(super) pool: Pool<DB>,
    pub(super) origin: &'static str,
    pub(super) name: String,
    pub(super) poll_interval: Duration,
    pub(super) lease: Duration,
    /// Whose the leases are.
    pub(super) owner: Uuid,
    /// Taken and not handed out yet, with the end of the lease.
    pub(super) taken: Mutex<VecDeque<(TakenMessage, Instant)>>,
    pub(super) stored: Notify,
    pub(super) stopped: watch::Sender<bool>,
    /// One statement at a time: an inbox is one of many that want the pool's connections.
    pub(super) statements: Semaphore,
    pub(super) home: Mutex<Option<Home>>,
}

type Statement<'c, T> = Pin<Box<dyn Future<Output = Result<T, sqlx::Error>> + Send + 'c>>;

impl<DB: InboxStore> Shared<DB> {
    fn inbox(&self) -> InboxName<'_> {
        InboxName {
            origin: self.origin,
            name: &self.name,
        }
    }

    /// Runs a statement, again if another transaction was in the way.
    pub(super) async fn run<T>(
        &self,
        statement: impl for<'c> Fn(&'c mut DB::Connection, &'c Home, InboxName<'c>) -> Statement<'c, T>
        + Send
        + Sync,
    ) -> Result<T, sqlx::Error> {
        let _turn = self.statements.acquire().await;
        let mut attempts = 1;
        loop {
            let known = self.known_home();
            let (mut conn, home) = match known {
                Some(home) => (GuardedConnection::acquire(&self.pool).await?, home),
                None => GuardedConnection::at_home(&self.pool).await?,
            };
            self.know_home(Some(home.clone()));
            let done = unlogged(statement(conn.connection(), &home, self.inbox())).await;
            let done = conn.done(done);
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
