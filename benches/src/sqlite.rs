//! The work on SQLite.

use anyhow::Result;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqliteConnection};

use crate::arm::{self, Arm, Payment, name};
use crate::work::work;

pub(crate) const SETTINGS: &str = "WAL, synchronous = FULL; pools: max_connections = 1, test_before_acquire = false, \
    otherwise sqlx's defaults";

const BEGIN: &str = "BEGIN IMMEDIATE";
const EFFECT: &str = "UPDATE accounts SET balance = balance + ? WHERE id = ?";
const CLAIM: &str = "INSERT INTO processed (handler, key) VALUES (?, ?) ON CONFLICT DO NOTHING";
const STORE: &str = "UPDATE processed SET result = ? WHERE handler = ? AND key = ?";
const REPLAY: &str = "SELECT result FROM processed WHERE handler = ? AND key = ?";
const PUBLISH: &str = "INSERT INTO outbox (id, topic, key, payload) VALUES (?, ?, ?, ?)";

const ACCOUNTS: &str = "
    CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL) STRICT;
    WITH RECURSIVE ids (id) AS (SELECT 0 UNION ALL SELECT id + 1 FROM ids WHERE id < 9999)
    INSERT INTO accounts SELECT id, 0 FROM ids;";

const TABLES: &str = "
    CREATE TABLE processed (
        handler    TEXT NOT NULL,
        key        BLOB NOT NULL,
        result     TEXT,
        created_at TEXT NOT NULL DEFAULT current_timestamp,
        PRIMARY KEY (handler, key)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE outbox (
        seq          INTEGER PRIMARY KEY AUTOINCREMENT,
        id           BLOB NOT NULL UNIQUE,
        topic        TEXT NOT NULL,
        key          TEXT NOT NULL,
        payload      TEXT NOT NULL,
        created_at   TEXT NOT NULL DEFAULT current_timestamp,
        published_at TEXT
    ) STRICT;
    CREATE INDEX outbox_pending ON outbox (seq) WHERE published_at IS NULL;";

work!(Sqlite, SqliteConnection);

async fn connect(url: &str) -> Result<Pool> {
    connect_many(url, 1).await
}

/// A pool of that many connections, all of them made.
pub(crate) async fn connect_many(url: &str, connections: u32) -> Result<Pool> {
    let options: SqliteConnectOptions = url.parse()?;
    let pool = SqlitePoolOptions::new()
        .min_connections(connections)
        .max_connections(connections)
        .test_before_acquire(false)
        .connect_with(
            options
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full),
        )
        .await?;
    Ok(pool)
}

/// The arms in this file.
pub(crate) async fn arms(url: &str) -> Result<Vec<Arm>> {
    set_up_work(url).await?;
    work(url).await
}
