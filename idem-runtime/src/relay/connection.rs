//! A connection for one statement of the relay.

use sqlx::Pool;
use sqlx::pool::PoolConnection;

use crate::store::Store;

/// Closed if it is dropped before [`done`](Self::done): what is in flight may have a transaction
/// open.
pub(crate) struct GuardedConnection<DB: Store> {
    held: PoolConnection<DB>,
    at_rest: bool,
}

impl<DB: Store> GuardedConnection<DB> {
    pub(crate) async fn acquire(pool: &Pool<DB>) -> Result<Self, sqlx::Error> {
        Ok(Self {
            held: pool.acquire().await?,
            at_rest: false,
        })
    }

    pub(crate) fn connection(&mut self) -> &mut DB::Connection {
        &mut self.held
    }

    /// Gives the connection back, unless the error leaves its state unknown.
    pub(crate) fn done<T>(mut self, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        self.at_rest = result
            .as_ref()
            .map_or_else(|error| error.as_database_error().is_some(), |_| true);
        result
    }
}

impl<DB: Store> Drop for GuardedConnection<DB> {
    fn drop(&mut self) {
        if !self.at_rest {
            self.held.close_on_drop();
        }
    }
}
