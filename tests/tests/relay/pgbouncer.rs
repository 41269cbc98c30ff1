//! PostgreSQL behind PgBouncer in transaction pooling.

use idem_tests::TestDb;
use sqlx::PgPool;

#[path = "suite/mod.rs"]
mod suite;

pub(crate) type Conn = sqlx::PgConnection;
pub(crate) type Pool = PgPool;

pub(crate) type Db = TestDb<sqlx::Postgres>;

/// The literal of another relay's ID.
pub(crate) const THIEF: &str = "'00000000-0000-0000-0000-000000000000'";

pub(crate) async fn start() -> Db {
    let db = empty().await;
    db.migrate().await;
    db
}

/// Without our tables.
pub(crate) async fn empty() -> Db {
    TestDb::behind_pgbouncer(4).await
}
