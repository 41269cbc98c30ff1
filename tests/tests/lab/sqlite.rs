//! SQLite.

use idem_runtime::migrate;
use idem_tests::server::{self, Database};
use sqlx::{Executor as _, Sqlite, SqlitePool};

use crate::suite;

pub(crate) const TABLES: &str = "
CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
INSERT INTO accounts VALUES (1, 100), (2, 200);
CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, account INTEGER NOT NULL REFERENCES accounts,
    note TEXT NOT NULL, created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);";

pub(crate) async fn database() -> Database {
    let database = server::sqlite();
    let pool = SqlitePool::connect(database.url()).await.unwrap();
    migrate(&pool).await.unwrap();
    pool.execute(TABLES).await.unwrap();
    pool.close().await;
    database
}

#[tokio::test]
async fn a_copy_shows_what_was_done_to_it_and_to_no_other() {
    let database = database().await;
    suite::a_copy_shows_what_was_done_to_it_and_to_no_other::<Sqlite>(database.url()).await;
}
