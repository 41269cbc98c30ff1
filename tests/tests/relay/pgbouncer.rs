//! PostgreSQL behind PgBouncer in transaction pooling.

use idem_tests::TestDb;
use sqlx::PgPool;

#[path = "suite/mod.rs"]
mod suite;

pub(crate) type Conn = sqlx::PgConnection;
pub(crate) type Pool = PgPool;

pub(crate) type Db = TestDb<sqlx::Postgres>;

/// Behind a pooler nobody sees when the session is gone.
pub(crate) const LEASE_AFTER_A_CRASH: std::time::Duration = std::time::Duration::from_millis(500);

pub(crate) const BEGIN: &str = "BEGIN";

pub(crate) const RESET_SEQUENCE: &str = "TRUNCATE idem_outbox RESTART IDENTITY";

/// 100 kB in each row.
pub(crate) const LARGE_HEADERS: &str =
    "UPDATE idem_outbox SET headers = '{\"x\":\"' || repeat('x', 100000) || '\"}'";

pub(crate) async fn start() -> Db {
    let db = empty().await;
    db.migrate().await;
    db
}

/// Without our tables.
pub(crate) async fn empty() -> Db {
    TestDb::behind_pgbouncer(4).await
}
