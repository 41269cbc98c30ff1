//! A call's connection and transaction, and what dropping the call does to them.

use sqlx::pool::PoolConnection;
use sqlx_core::transaction::TransactionManager;

use crate::begin::Begin;
use crate::store::{Commit, Store, depth};

/// Where the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TransactionState {
    /// No transaction of ours, nothing in flight.
    Idle,
    /// Something of ours is in flight, or a transaction of ours is open.
    Own,
    /// Inside the caller's transaction of this depth; our savepoint is one deeper.
    Joined(usize),
}

/// Holds the origin of a call's transaction and the connection it runs on.
///
/// Dropped anywhere but at rest, it gives nothing back that could hold an open transaction: a
/// connection of a pool is closed, a savepoint's rollback is queued.
#[derive(Debug)]
pub(crate) struct Session<DB: Store, B: Begin<DB::Connection, Database = DB>> {
    origin: B,
    held: Option<PoolConnection<DB>>,
    state: TransactionState,
}

impl<DB: Store, B: Begin<DB::Connection, Database = DB>> Session<DB, B> {
    pub(crate) const fn new(origin: B) -> Self {
        Self {
            origin,
            held: None,
            state: TransactionState::Idle,
        }
    }

    /// What tells this pool's database from another's in this process.
    pub(crate) fn pool_identity(&self) -> Option<usize> {
        let pool = self.origin.pool()?;
        Some(std::sync::Arc::as_ptr(&pool.connect_options()).addr())
    }

    /// Whether the caller has a transaction open that this call joins.
    pub(crate) async fn joins(&mut self) -> Result<bool, sqlx::Error> {
        match self.origin.connection() {
            Some(conn) => Ok(DB::depth(conn, 0).await? > 0),
            None => Ok(false),
        }
    }

    /// Whether this call commits, and on what.
    pub(crate) const fn commit(&self) -> Commit {
        match (self.state, self.held.is_some()) {
            (TransactionState::Joined(_), _) => Commit::Release,
            (_, true) => Commit::Pooled,
            (_, false) => Commit::Kept,
        }
    }

    /// Takes a connection if the origin is a pool, and arms the guard: from here to
    /// [`rest`](Self::rest) a drop closes it.
    pub(crate) async fn acquire(&mut self) -> Result<(), sqlx::Error> {
        if self.held.is_none()
            && let Some(pool) = self.origin.pool()
        {
            let pool = pool.clone();
            self.held = Some(pool.acquire().await?);
        }
        self.state = TransactionState::Own;
        Ok(())
    }

    /// Sets a savepoint in the caller's transaction.
    pub(crate) async fn join(&mut self) -> Result<(), sqlx::Error> {
        let conn = self.connection();
        let base = DB::depth(conn, 1).await?;
        DB::nest(conn).await?;
        self.state = TransactionState::Joined(base);
        Ok(())
    }

    pub(crate) fn connection(&mut self) -> &mut DB::Connection {
        match &mut self.held {
            Some(held) => held,
            None => self
                .origin
                .connection()
                .expect("a call on a pool has acquired its connection"),
        }
    }

    /// Whether nothing of ours is open or in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.state == TransactionState::Idle
    }

    /// Whether every transaction that the handler nested in ours has ended.
    pub(crate) async fn is_whole(&mut self) -> bool {
        let expected = match self.state {
            TransactionState::Joined(base) => base + 1,
            TransactionState::Idle | TransactionState::Own => 1,
        };
        let depth = DB::depth(self.connection(), expected).await;
        depth.is_ok_and(|depth| depth == expected)
    }

    /// Ends our transaction without its effects. After an error the guard stays armed.
    pub(crate) async fn roll_back(&mut self) -> Result<(), sqlx::Error> {
        match self.state {
            TransactionState::Idle => return Ok(()),
            TransactionState::Own => {
                DB::abandon(self.connection(), None).await?;
            }
            TransactionState::Joined(base) => {
                let conn = self.connection();
                while DB::depth(conn, base).await? > base {
                    DB::unnest(conn).await?;
                }
            }
        }
        self.rest();
        Ok(())
    }

    /// Makes ready for another attempt: a connection of a pool whose transaction could not be ended is left to be closed.
    /// `false`: it is the caller's.
    pub(crate) fn renew(&mut self) -> bool {
        if self.is_idle() {
            return true;
        }
        let Some(mut held) = self.held.take() else {
            return false;
        };
        held.close_on_drop();
        self.state = TransactionState::Idle;
        true
    }

    /// Keeps the effects of a joined call for the caller's COMMIT.
    pub(crate) async fn release(&mut self) -> Result<(), sqlx::Error> {
        DB::TransactionManager::commit(self.connection()).await
    }

    /// Disarms the guard: no transaction of ours is open, and the connection may serve others.
    pub(crate) fn rest(&mut self) {
        self.state = TransactionState::Idle;
        self.held = None;
    }
}

impl<DB: Store, B: Begin<DB::Connection, Database = DB>> Drop for Session<DB, B> {
    fn drop(&mut self) {
        let base = match self.state {
            TransactionState::Idle => return,
            TransactionState::Own => 0,
            TransactionState::Joined(base) => base,
        };
        if base == 0
            && let Some(pooled) = self.held.as_mut().or_else(|| self.origin.pooled())
        {
            // What is in flight may still begin or commit: only a closed connection is surely clean.
            pooled.close_on_drop();
        }
        if self.held.is_none()
            && let Some(conn) = self.origin.connection()
        {
            // At least once: SQLite's worker may have ended what this call did not learn of, and expects to be told.
            let depth = depth::of_dropped::<DB>(conn, base + 1);
            for _ in 0..depth.saturating_sub(base).max(1) {
                DB::TransactionManager::start_rollback(conn);
            }
        }
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

    #[tokio::test]
    async fn pools_of_one_process_are_told_apart() {
        let [one, other] = [(); 2].map(|()| SqlitePool::connect_lazy("sqlite::memory:").unwrap());
        let identity = |pool: &SqlitePool| Session::new(pool).pool_identity();
        assert_eq!(identity(&one), identity(&one.clone()));
        assert_ne!(identity(&one), identity(&other));
        let mut conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        assert_eq!(Session::new(&mut conn).pool_identity(), None);
    }
}
