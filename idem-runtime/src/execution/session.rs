//! A call's connection and transaction, and what dropping the call does to them.

use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx_core::transaction::TransactionManager;
use tokio::time::timeout;

use super::dropped;
use super::pool_state::PoolState;
use crate::begin::Begin;
use crate::member::Member;
use crate::store::{Commit, Home, Store};

/// What is open on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TransactionState {
    /// This call has no transaction open, and nothing in flight.
    None,
    /// This call has a transaction open, or something in flight.
    Owned,
    /// This call has a savepoint in the caller's transaction, which has this depth.
    Savepoint(usize),
    /// This call is one of a batch, whose transaction has this depth.
    Member(usize),
}

/// Holds the origin of a call's transaction and the connection it runs on.
///
/// Dropped anywhere but [idle](Self::is_idle), it gives nothing back that could hold an open
/// transaction. A connection of a pool is closed once the server is done with it, and the rollback
/// of a savepoint is queued.
#[derive(Debug)]
pub(super) struct Session<DB: Store, B: Begin<DB::Connection, Database = DB>> {
    origin: B,
    pool: Option<Arc<PoolState>>,
    held: Option<PoolConnection<DB>>,
    home: Option<Arc<Home>>,
    state: TransactionState,
}

impl<DB: Store, B: Begin<DB::Connection, Database = DB>> Session<DB, B> {
    pub(super) fn new(origin: B) -> Self {
        Self {
            pool: origin.pool().map(PoolState::of),
            origin,
            held: None,
            home: None,
            state: TransactionState::None,
        }
    }

    /// The state of the pool, if the call takes its connection from one.
    pub(super) const fn pool(&self) -> Option<&Arc<PoolState>> {
        self.pool.as_ref()
    }

    /// How many connections the pool may have. One more than that can't be in a bad state.
    pub(super) fn connections(&self) -> u32 {
        let pool = self.origin.pool();
        pool.map_or(0, |pool| pool.options().get_max_connections())
    }

    /// Whether the caller has a transaction open that this call joins.
    pub(super) async fn joins(&mut self) -> Result<bool, sqlx::Error> {
        match self.origin.connection() {
            Some(conn) => Ok(DB::depth(conn, 0).await? > 0),
            None => Ok(false),
        }
    }

    /// Whether this call commits, and on what.
    pub(super) const fn commit(&self) -> Commit {
        match (self.state, self.held.is_some()) {
            (TransactionState::Savepoint(_) | TransactionState::Member(_), _) => Commit::Release,
            (_, true) => Commit::Pooled,
            (_, false) => Commit::Kept,
        }
    }

    /// Takes a connection if the origin is a pool, and arms the guard: from here to
    /// [`disarm`](Self::disarm) a drop closes it.
    pub(super) async fn acquire(&mut self) -> Result<(), sqlx::Error> {
        if self.held.is_none()
            && let Some(pool) = self.origin.pool()
        {
            let pool = pool.clone();
            self.held = Some(pool.acquire().await?);
        }
        self.state = TransactionState::Owned;
        Ok(())
    }

    /// Where the tables are: what the pool knows, or else what the connection finds.
    pub(super) async fn find_home(&mut self) -> Result<Arc<Home>, sqlx::Error> {
        let known = self.home.clone().or_else(|| self.pool.as_ref()?.home());
        if let Some(home) = known {
            self.home = Some(home.clone());
            return Ok(home);
        }
        let home = Arc::new(DB::find_home(self.connection()).await?);
        if let Some(pool) = &self.pool {
            pool.set_home(Some(home.clone()));
        }
        self.home = Some(home.clone());
        Ok(home)
    }

    /// What [`find_home`](Self::find_home) found.
    pub(super) fn home(&self) -> Option<&Arc<Home>> {
        self.home.as_ref()
    }

    /// The tables were not there.
    pub(super) fn forget_home(&mut self) {
        self.home = None;
        if let Some(pool) = &self.pool {
            pool.set_home(None);
        }
    }

    /// Sets a savepoint in the caller's transaction.
    pub(super) async fn join(&mut self) -> Result<(), sqlx::Error> {
        let conn = self.connection();
        let base = DB::depth(conn, 1).await?;
        DB::nest(conn).await?;
        self.state = TransactionState::Savepoint(base);
        Ok(())
    }

    /// What a batch holds ready for this call, if it is one of a batch.
    pub(super) fn member(&mut self) -> Option<&mut Member> {
        self.origin.member()
    }

    /// How long the origin lets a claim of many keys wait.
    pub(super) fn longest_wait(&self) -> Option<Duration> {
        self.origin.longest_wait()
    }

    /// Takes part in the transaction of a batch.
    pub(super) fn take_part(&mut self, depth: usize, home: Arc<Home>) {
        self.home = Some(home);
        self.state = TransactionState::Member(depth);
    }

    pub(super) fn connection(&mut self) -> &mut DB::Connection {
        match &mut self.held {
            Some(held) => held,
            None => self
                .origin
                .connection()
                .expect("a call on a pool has acquired its connection"),
        }
    }

    /// Whether this call has nothing open and nothing in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.state == TransactionState::None
    }

    /// The depth of the transaction that the handler gets.
    pub(super) const fn own_depth(&self) -> usize {
        match self.state {
            TransactionState::Savepoint(base) => base + 1,
            TransactionState::Member(depth) => depth,
            TransactionState::None | TransactionState::Owned => 1,
        }
    }

    /// Whether every transaction that the handler nested in ours has ended.
    pub(super) async fn is_whole(&mut self) -> bool {
        let expected = self.own_depth();
        let depth = DB::depth(self.connection(), expected).await;
        depth.is_ok_and(|depth| depth == expected)
    }

    /// Ends our transaction without its effects. After an error the guard stays armed.
    pub(super) async fn roll_back(&mut self) -> Result<(), sqlx::Error> {
        match self.state {
            // A batch is rolled back as a whole, by whoever began it.
            TransactionState::None | TransactionState::Member(_) => {}
            TransactionState::Owned => {
                DB::abandon(self.connection(), None).await?;
            }
            TransactionState::Savepoint(base) => {
                let conn = self.connection();
                while DB::depth(conn, base).await? > base {
                    DB::unnest(conn).await?;
                }
            }
        }
        self.disarm();
        Ok(())
    }

    /// Makes ready for another attempt: a connection of a pool whose transaction could not be ended
    /// is left to be closed. `false`: it is the caller's.
    pub(super) fn renew(&mut self) -> bool {
        if self.is_idle() {
            return true;
        }
        let Some(held) = self.held.take() else {
            return false;
        };
        close_when_done::<DB>(held);
        self.state = TransactionState::None;
        true
    }

    /// Keeps the effects of a joined call for the caller's COMMIT.
    pub(super) async fn release(&mut self) -> Result<(), sqlx::Error> {
        DB::TransactionManager::commit(self.connection()).await
    }

    /// Disarms the guard: this call has no transaction open, and the connection may serve others.
    pub(super) fn disarm(&mut self) {
        self.state = TransactionState::None;
        self.held = None;
    }
}

impl<DB: Store, B: Begin<DB::Connection, Database = DB>> Drop for Session<DB, B> {
    fn drop(&mut self) {
        let base = match self.state {
            TransactionState::None | TransactionState::Member(_) => return,
            TransactionState::Owned => 0,
            TransactionState::Savepoint(base) => base,
        };
        if let Some(held) = self.held.take() {
            close_when_done::<DB>(held);
            return;
        }
        if base == 0
            && let Some(pooled) = self.origin.pooled()
        {
            pooled.close_on_drop();
        }
        if let Some(conn) = self.origin.connection() {
            // At least once: SQLite's worker may have ended a transaction that this call did not
            // learn of, and waits for the rollback.
            let depth = dropped::depth::<DB>(conn, base + 1);
            for _ in 0..depth.saturating_sub(base).max(1) {
                DB::TransactionManager::start_rollback(conn);
            }
        }
    }
}

/// Closes a connection on which something may be in flight. Only a closed one is surely clean,
/// since what is in flight may still begin or commit.
///
/// Its place in the pool stays taken until the server is done. A server does not notice that a
/// client is gone while it waits for a lock, so calls that are given up one after the other would
/// leave it with more and more sessions.
fn close_when_done<DB: Store>(mut held: PoolConnection<DB>) {
    held.close_on_drop();
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(async move {
            let drained = DB::drain(&mut held);
            // After an error the connection is broken, and closing it is all that is left to do.
            match DB::DRAIN_LIMIT {
                Some(limit) => {
                    if timeout(limit, drained).await.is_err() {
                        tracing::warn!(
                            "the server has not answered on the connection of a call that was dropped; \
                             it is closed, and its session may go on for a while. Look for a timeout \
                             around a single statement of a handler: put it around the whole call"
                        );
                    }
                }
                None => drop(drained.await),
            }
            drop(held);
        });
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use sqlx::{Connection as _, SqliteConnection, SqlitePool};

    use super::*;

    #[tokio::test]
    async fn a_call_joins_a_transaction_that_is_open_and_nothing_else() {
        let pool = SqlitePool::connect_lazy("sqlite::memory:").unwrap();
        assert!(!Session::new(&pool).joins().await.unwrap());
        let mut conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        assert!(!Session::new(&mut conn).joins().await.unwrap());
        let mut tx = conn.begin().await.unwrap();
        assert!(Session::new(&mut tx).joins().await.unwrap());
    }
}
