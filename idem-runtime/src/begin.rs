//! Where a handler's transaction comes from.

use std::fmt::Debug;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Connection, Pool};

use crate::member::Member;
use crate::store::Store;

/// The connection of a database whose feature is on.
///
/// Demanded by each expansion, so that a handler on anything else is refused where it is written,
/// and not where it is called.
#[diagnostic::on_unimplemented(
    message = "a handler can't run on `{Self}`",
    label = "not a connection of a supported database",
    note = "the first parameter of a handler is `&mut PgConnection`, `&mut MySqlConnection` or `&mut SqliteConnection`",
    note = "turn on the feature of its database in `idem-runtime`: `postgres`, `mysql` or `sqlite`"
)]
#[doc(hidden)]
pub trait Supported: Connection {}

/// What a generated handler takes in place of its transaction parameter.
///
/// | argument | transaction | what holds |
/// |---|---|---|
/// | `&pool`, or a clone of it | opened, committed and retried by the call | everything |
/// | `&mut tx` | the caller's: the call joins it by a savepoint, and the caller's COMMIT decides. Ack nothing before it | everything; a call dropped in its last round trip makes the caller's COMMIT fail |
/// | `&mut pool_connection` | the call's own, or joined if one is open | everything; a dropped call closes the connection |
/// | `&mut connection` | the call's own, or joined if one is open | a call dropped while it begins leaves a transaction open on it: drop the connection then |
///
/// A function that passes its own origin on is generic over it:
///
/// ```
/// # #[cfg(all(feature = "macros", feature = "sqlite"))]
/// # mod example {
/// use idem_runtime::{Begin, Error, Outcome, idempotent};
/// use sqlx::SqliteConnection;
///
/// #[idempotent(key = "id")]
/// async fn count(tx: &mut SqliteConnection, id: &str) -> Result<i64, sqlx::Error> {
///     sqlx::query_scalar("UPDATE counters SET n = n + 1 RETURNING n").fetch_one(&mut *tx).await
/// }
///
/// async fn count_order(
///     origin: impl Begin<SqliteConnection>,
///     order: i64,
/// ) -> Result<Outcome<i64>, Error<sqlx::Error>> {
///     count(origin, &format!("order-{order}")).await
/// }
/// # }
/// ```
///
/// "Open" means: opened by sqlx. A transaction that raw SQL began is not joined. On the caller's
/// own connection the call ends with
/// [`Error::ForeignTransaction`](crate::Error::ForeignTransaction) and leaves it untouched; a
/// pool's connection in that state is closed, and another one is taken.
///
/// [The guide](crate::guide::joining_a_transaction) says what each argument asks of its caller.
///
/// Sealed; implemented for each database whose feature is on.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't open or join a transaction on `{C}`",
    label = "not a pool or transaction of the handler's database",
    note = "pass `&pool`, `&mut transaction`, `&mut pool_connection` or `&mut connection` of the database that the handler's first parameter names",
    note = "if it is of that database, turn on the feature `postgres`, `mysql` or `sqlite` of `idem-runtime`"
)]
pub trait Begin<C>: Send + Debug {
    /// The database of `C`.
    #[doc(hidden)]
    type Database: Store<Connection = C>;

    /// The pool, if this is one.
    #[doc(hidden)]
    fn pool(&self) -> Option<&Pool<Self::Database>> {
        None
    }

    /// The connection, if there is one already.
    #[doc(hidden)]
    fn connection(&mut self) -> Option<&mut C> {
        None
    }

    /// The connection's place in its pool, if it has one.
    #[doc(hidden)]
    fn pooled(&mut self) -> Option<&mut PoolConnection<Self::Database>> {
        None
    }

    /// What a batch holds ready for a call that is one of it.
    #[doc(hidden)]
    fn member(&mut self) -> Option<&mut Member> {
        None
    }

    /// How long the claim of a batch may wait at most, whatever its handler says.
    #[doc(hidden)]
    fn longest_wait(&self) -> Option<Duration> {
        None
    }
}

/// A pool that is kept, where a reference to one would not live long enough or its database is not
/// known.
#[derive(Debug)]
pub(crate) struct OwnedPool<DB: Store>(pub(crate) Pool<DB>);

impl<DB: Store> Begin<DB::Connection> for OwnedPool<DB> {
    type Database = DB;

    fn pool(&self) -> Option<&Pool<DB>> {
        Some(&self.0)
    }
}

/// Implements [`Begin`] for one database. A blanket implementation would report the pool of another
/// database as a bare type mismatch.
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
macro_rules! begin_on {
    ($database:ty, $connection:ty) => {
        impl Supported for $connection {}

        impl Begin<$connection> for &sqlx::Pool<$database> {
            type Database = $database;

            fn pool(&self) -> Option<&sqlx::Pool<$database>> {
                Some(self)
            }
        }

        // Without this a pool without its `&` would be three errors: at the argument, at the call
        // and at its await. A pool is a handle, so taking it by value is as good.
        impl Begin<$connection> for sqlx::Pool<$database> {
            type Database = $database;

            fn pool(&self) -> Option<&sqlx::Pool<$database>> {
                Some(self)
            }
        }

        impl Begin<$connection> for &mut sqlx::Transaction<'_, $database> {
            type Database = $database;

            fn connection(&mut self) -> Option<&mut $connection> {
                Some(self)
            }
        }

        impl Begin<$connection> for &mut sqlx::pool::PoolConnection<$database> {
            type Database = $database;

            fn connection(&mut self) -> Option<&mut $connection> {
                Some(self)
            }

            fn pooled(&mut self) -> Option<&mut sqlx::pool::PoolConnection<$database>> {
                Some(self)
            }
        }

        impl Begin<$connection> for &mut $connection {
            type Database = $database;

            fn connection(&mut self) -> Option<&mut $connection> {
                Some(self)
            }
        }
    };
}

#[cfg(feature = "postgres")]
begin_on!(sqlx::Postgres, sqlx::PgConnection);
#[cfg(feature = "mysql")]
begin_on!(sqlx::MySql, sqlx::MySqlConnection);
#[cfg(feature = "sqlite")]
begin_on!(sqlx::Sqlite, sqlx::SqliteConnection);
