//! SQLite. It has one writer at a time, so there is no transaction that commits later than one with
//! a higher number.

use idem_tests::TestDb;
use sqlx::SqlitePool;

#[path = "crash.rs"]
mod crash;
#[path = "failover.rs"]
mod failover;
#[path = "suite/mod.rs"]
pub(crate) mod suite;

pub(crate) type Conn = sqlx::SqliteConnection;
pub(crate) type Pool = SqlitePool;

pub(crate) type Db = TestDb<sqlx::Sqlite>;

/// Others see at once when the session is gone.
pub(crate) const LEASE_AFTER_A_CRASH: std::time::Duration = std::time::Duration::from_mins(1);

pub(crate) const BEGIN: &str = "BEGIN IMMEDIATE";

pub(crate) const RESET_SEQUENCE: &str = "DELETE FROM sqlite_sequence WHERE name = 'idem_outbox'";

pub(crate) const READ_ONLY: &str = "PRAGMA query_only = 1";

/// 100 kB in each row.
pub(crate) const LARGE_HEADERS: &str =
    "UPDATE idem_outbox SET headers = '{\"x\":\"' || printf('%.100000c', 'x') || '\"}'";

pub(crate) async fn start() -> Db {
    let db = empty().await;
    db.migrate().await;
    db
}

/// Without our tables.
pub(crate) async fn empty() -> Db {
    TestDb::empty(4).await
}
