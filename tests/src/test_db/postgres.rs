//! PostgreSQL, and PgBouncer in front of it.

use sqlx::{AssertSqlSafe, Pool, Postgres, Row as _, raw_sql};

use super::{TestDatabase, TestDb, queries};
use crate::{at_rest, server};

impl TestDatabase for Postgres {
    async fn create() -> server::Database {
        server::postgres().database().await
    }

    queries!();

    async fn assert_no_open_transaction(db: &TestDb<Self>) {
        at_rest::postgres(&db.pool).await;
    }
}

impl TestDb<Postgres> {
    /// An empty database behind PgBouncer. Nothing is prepared on its connections: PgBouncer before
    /// 1.21 knows nothing of prepared statements.
    pub async fn behind_pgbouncer(connections: u32) -> Self {
        let database = server::pgbouncer().database().await;
        let options = Postgres::options(database.url()).statement_cache_capacity(0);
        Self::with(database, options, connections).await
    }
}
