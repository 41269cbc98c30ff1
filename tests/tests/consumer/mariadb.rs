//! MariaDB.

use idem_tests::TestDb;

#[path = "suite/mod.rs"]
pub(crate) mod suite;

pub(crate) type Conn = sqlx::MySqlConnection;
pub(crate) type Database = sqlx::MySql;
pub(crate) type Pool = sqlx::Pool<Database>;

pub(crate) type Db = TestDb<Database>;

/// These bytes in a statement.
pub(crate) fn blob(hexed: &str) -> String {
    format!("X'{hexed}'")
}

pub(crate) async fn start() -> Db {
    let db = TestDb::empty(8).await;
    db.migrate().await;
    db
}
