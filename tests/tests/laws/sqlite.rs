//! SQLite.
//!
//! * A statement that fails is undone alone and does not abort the transaction.
//! * One transaction writes at a time: a duplicate that waits elsewhere waits for the database, and can't tell for which key.

use idem_tests::at_rest;
use idem_tests::server::{self, Database};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{Executor as _, SqliteConnection, SqlitePool};

#[path = "suite/mod.rs"]
mod suite;

pub(crate) type Conn = SqliteConnection;
pub(crate) type Pool = SqlitePool;

pub(crate) struct Bed {
    pub(crate) pool: Pool,
    pub(crate) url: String,
    _database: Database,
}

impl Bed {
    pub(crate) const LOCKS_ROWS: bool = false;
    pub(crate) const BREAK_CONNECTION: Option<&'static str> = None;
    pub(crate) const DEADLOCK: Option<[[&'static str; 2]; 2]> = None;

    pub(crate) async fn start(connections: u32) -> Self {
        let database = server::sqlite();
        let url = database.url().to_owned();
        let pool = Self::connect(&url, connections).await;
        idem_runtime::migrate(&pool).await.unwrap();
        pool.execute(
            "CREATE TABLE effects (id TEXT NOT NULL);
             CREATE TABLE uniques (id INTEGER PRIMARY KEY);
             CREATE TABLE parents (id INTEGER PRIMARY KEY);
             CREATE TABLE children (parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)",
        )
        .await
        .unwrap();
        Self {
            pool,
            url,
            _database: database,
        }
    }

    pub(crate) async fn connect(url: &str, connections: u32) -> Pool {
        let options = url
            .parse::<SqliteConnectOptions>()
            .unwrap()
            .journal_mode(SqliteJournalMode::Wal);
        SqlitePoolOptions::new()
            .max_connections(connections)
            .connect_with(options)
            .await
            .unwrap()
    }

    pub(crate) async fn another_pool(&self) -> Pool {
        Self::connect(&self.url, 4).await
    }

    pub(crate) fn text_as_bytes(literal: &str) -> String {
        format!("CAST({literal} AS BLOB)")
    }

    pub(crate) async fn assert_no_open_transaction(&self) {
        at_rest::sqlite(&self.pool).await;
    }
}

mod only_here {
    use idem_runtime::{Error, idempotent};

    use super::*;

    #[idempotent(key = "id", scope = "laws.orphan")]
    async fn orphan(tx: &mut SqliteConnection, id: &str, parent: bool) -> Result<(), sqlx::Error> {
        if parent {
            tx.execute("INSERT INTO parents VALUES (1)").await?;
        }
        tx.execute("INSERT INTO children VALUES (1)")
            .await
            .map(drop)
    }

    /// Cure: a COMMIT that fails leaves SQLite's transaction open; it is rolled back and the error is the call's.
    #[tokio::test]
    async fn a_deferred_constraint_that_fails_at_commit_is_no_success() {
        let bed = Bed::start(2).await;
        let failed = orphan(&bed.pool, "o", false).await;
        let Err(Error::Store(error)) = failed else {
            panic!("{failed:?}");
        };
        assert!(
            error
                .as_database_error()
                .unwrap()
                .is_foreign_key_violation()
        );
        bed.assert_no_open_transaction().await;
        assert!(orphan(&bed.pool, "o", true).await.unwrap().is_executed());
    }
}
