//! What the suite must know of each database.

use std::future::Future;
use std::net::SocketAddr;

use idem_runtime::__testing::ConsumerStore;
use idem_runtime::{Failure, Route};
use sqlx::{Connection, Database, Pool};

use super::script::{Script, Step};

#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

/// A database that a consumer can have: PostgreSQL, MySQL and MariaDB, SQLite, each behind its
/// feature.
pub trait SourceDatabase: ConsumerStore {
    /// Adds an effect.
    #[doc(hidden)]
    type Apply: Route<Self, Message = Step, Context = Script, Error: Failure>;

    /// Creates the table of effects, if it is not there.
    #[doc(hidden)]
    fn prepare(pool: &Pool<Self>) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// The effects of a case, each as often as it happened, in no order.
    #[doc(hidden)]
    fn effects(
        pool: &Pool<Self>,
        first: u32,
        last: u32,
    ) -> impl Future<Output = Result<Vec<i64>, sqlx::Error>> + Send;

    /// Where its server listens, as `host:port`, if it has one that a proxy can stand before.
    #[doc(hidden)]
    fn server(options: &ConnectOptions<Self>) -> Option<String>;

    /// How to connect through a proxy.
    #[doc(hidden)]
    fn through(options: ConnectOptions<Self>, proxy: SocketAddr) -> ConnectOptions<Self>;
}

/// How a connection to `DB` is made.
pub(super) type ConnectOptions<DB> = <<DB as Database>::Connection as Connection>::Options;

/// The handler, and the queries. sqlx's bounds can't be named once for all databases.
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
macro_rules! database {
    // `$begins`: whether it does what it does first within its transaction.
    ($database:ty, $connection:ty, $scope:literal, $apply:ty, $begins:literal) => {
        /// Adds one row, and ends as the message says.
        #[allow(
            unreachable_pub,
            reason = "what the attribute emits is reached by the trait"
        )]
        #[idempotent(key = "step.id", scope = $scope, handler = Apply)]
        pub async fn apply(
            tx: &mut $connection,
            step: &Received<Step>,
            script: &Script,
        ) -> Result<(), StepError> {
            let n = step.data.n;
            let sql = format!("INSERT INTO idem_conformance_effects VALUES ({n})");
            raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await?;
            if $begins {
                script.begin(step).await;
            }
            script.end(step)
        }

        impl SourceDatabase for $database {
            type Apply = $apply;

            async fn prepare(pool: &Pool<Self>) -> Result<(), sqlx::Error> {
                const SQL: &str =
                    "CREATE TABLE IF NOT EXISTS idem_conformance_effects (n bigint NOT NULL)";
                raw_sql(SQL).execute(pool).await.map(drop)
            }

            async fn effects(
                pool: &Pool<Self>,
                first: u32,
                last: u32,
            ) -> Result<Vec<i64>, sqlx::Error> {
                let sql = format!(
                    "SELECT n FROM idem_conformance_effects WHERE n BETWEEN {first} AND {last}"
                );
                let rows = raw_sql(AssertSqlSafe(sql)).fetch_all(pool).await?;
                rows.iter().map(|row| row.try_get(0)).collect()
            }

            fn server(options: &ConnectOptions<Self>) -> Option<String> {
                server(options)
            }

            fn through(options: ConnectOptions<Self>, proxy: SocketAddr) -> ConnectOptions<Self> {
                through(options, proxy)
            }
        }
    };
}
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
use database;
