//! SQLite. It has one writer at a time, so there is no transaction that commits later than one with
//! a higher number.

use idem_tests::TestDb;
use sqlx::SqlitePool;

#[path = "suite/mod.rs"]
pub(crate) mod suite;

pub(crate) type Conn = sqlx::SqliteConnection;
pub(crate) type Pool = SqlitePool;

pub(crate) type Db = TestDb<sqlx::Sqlite>;

/// The literal of another relay's ID.
pub(crate) const THIEF: &str = "X'00000000000000000000000000000000'";

pub(crate) async fn start() -> Db {
    let db = empty().await;
    db.migrate().await;
    db
}

/// Without our tables.
pub(crate) async fn empty() -> Db {
    TestDb::empty(4).await
}
