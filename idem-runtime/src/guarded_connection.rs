//! A connection for one statement, closed unless that ends well.

use sqlx::Pool;
use sqlx::pool::PoolConnection;

use crate::store::{ErrorClass, Home, Store};

/// Closed unless its statement ended well: what is in flight may have a transaction open, and after
/// a failover a session may be read-only for as long as it lives.
pub(crate) struct GuardedConnection<DB: Store> {
    held: PoolConnection<DB>,
    is_idle: bool,
}

impl<DB: Store> GuardedConnection<DB> {
    pub(crate) async fn acquire(pool: &Pool<DB>) -> Result<Self, sqlx::Error> {
        Ok(Self {
            held: pool.acquire().await?,
            is_idle: false,
        })
    }

    /// The same, and where this connection finds the tables.
    pub(crate) async fn at_home(pool: &Pool<DB>) -> Result<(Self, Home), sqlx::Error> {
        let mut conn = Self::acquire(pool).await?;
        let home = DB::find_home(conn.connection()).await?;
        Ok((conn, home))
    }

    pub(crate) fn connection(&mut self) -> &mut DB::Connection {
        &mut self.held
    }

    /// Gives the connection back, or closes it after an error. A conflict with another transaction
    /// says nothing against it.
    pub(crate) fn done<T>(mut self, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        self.is_idle = result.as_ref().map_or_else(
            |error| {
                let class = DB::classify(error);
                matches!(class, ErrorClass::Conflict | ErrorClass::TimedOut)
            },
            |_| true,
        );
        result
    }
}

impl<DB: Store> Drop for GuardedConnection<DB> {
    fn drop(&mut self) {
        if !self.is_idle {
            self.held.close_on_drop();
        }
    }
}
