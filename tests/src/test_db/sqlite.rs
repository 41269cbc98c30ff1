//! SQLite, with a write-ahead log.

use std::future::ready;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{AssertSqlSafe, Pool, Row as _, Sqlite, raw_sql};

use super::{TestDatabase, TestDb, queries};
use crate::{at_rest, server};

impl TestDatabase for Sqlite {
    async fn create() -> server::Database {
        ready(server::sqlite()).await
    }

    fn options(url: &str) -> SqliteConnectOptions {
        let options: SqliteConnectOptions = url.parse().expect("it is a URL of SQLite");
        options.journal_mode(SqliteJournalMode::Wal)
    }

    queries!();

    async fn assert_no_open_transaction(db: &TestDb<Self>) {
        at_rest::sqlite(&db.pool).await;
    }
}
