//! PostgreSQL behind PgBouncer in transaction pooling: another server connection for each
//! transaction, and none of them keeps a prepared statement or a setting.
//!
//! It keeps every law. Connections have `statement_cache_capacity(0)`, since PgBouncer before 1.21
//! knows nothing of prepared statements: that is what the handlers' own queries need, not ours.

use idem_tests::TestDb;

pub(crate) use super::postgres::sql::{
    CLAIMS, EIGHT_DAYS_AGO, EMITTED, KEY, KEYS_LIKE_OURS, NAMESPACE, VERSIONS, bytes, id,
};

suite!();

pub(crate) type Db = TestDb<sqlx::Postgres>;
pub(crate) type Conn = sqlx::PgConnection;
pub(crate) type Pool = sqlx::PgPool;

/// Whether a claim that waits for another transaction knows that it is one of the same key.
pub(crate) const WAITS_FOR_KEYS: bool = true;

/// Whether a transaction that has read may still claim after another one wrote.
pub(crate) const CLAIMS_AFTER_READING: bool = true;

/// An empty database and a pool of this many connections to it.
pub(crate) async fn empty(connections: u32) -> Db {
    TestDb::behind_pgbouncer(connections).await
}

pub(crate) async fn another_pool(db: &Db) -> Pool {
    db.another_pool(2).await
}
