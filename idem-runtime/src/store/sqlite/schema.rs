//! The tables: their version, how they come to be, and what keeps handlers from them.

use sqlx::sqlite::SqliteConnection;
use sqlx::{Row as _, Sqlite, SqlitePool, raw_sql};

use super::error_class::code;
use crate::store::Store as _;

const NOT_UTF_8: &str = "the encoding of this database is UTF-16, in which sqlx reads every text wrongly: create the \
    database anew with `PRAGMA encoding = 'UTF-8'`, the default, and copy the rows with `.dump` of the `sqlite3` shell";

pub(super) async fn missing_requirements(pool: &SqlitePool) -> Result<Vec<String>, sqlx::Error> {
    if !is_utf_8(&mut *pool.acquire().await?).await? {
        return Ok(vec![NOT_UTF_8.into()]);
    }
    // BEGIN IMMEDIATE succeeds on a file that can't be written; a statement that would write does
    // not.
    if journal_mode(pool).await? == "off" {
        return Ok(vec![
            "the journal is off, so nothing can be rolled back: open the database with `journal_mode(Wal)`"
                .into(),
        ]);
    }
    let probe = raw_sql("UPDATE idem_keys SET state = state WHERE FALSE");
    let Err(error) = probe.execute(pool).await else {
        return Ok(Vec::new());
    };
    match code(&error).map(|code| code & 0xff) {
        Some(8) => Ok(vec![
            "the database is read-only: open it with `mode=rw`, and let this user write its file and folder"
                .into(),
        ]),
        // A missing table; another connection that writes, as this one can then.
        Some(1 | 5 | 6) => Ok(Vec::new()),
        _ => Err(error),
    }
}

pub(super) async fn warnings(pool: &SqlitePool) -> Result<Vec<String>, sqlx::Error> {
    let in_a_file =
        raw_sql("SELECT 1 FROM pragma_database_list WHERE name = 'main' AND file <> ''");
    if in_a_file.fetch_all(pool).await?.is_empty() || journal_mode(pool).await? != "memory" {
        return Ok(Vec::new());
    }
    Ok(vec![
        "the journal is in memory: a process that dies in the middle of a transaction can leave the database corrupt. \
         Open it with `journal_mode(Wal)`"
            .into(),
    ])
}

async fn journal_mode(pool: &SqlitePool) -> Result<String, sqlx::Error> {
    let mode = raw_sql("PRAGMA journal_mode").fetch_one(pool).await?;
    mode.try_get(0)
}

pub(super) async fn migrate(pool: &SqlitePool) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    if !is_utf_8(&mut tx).await? {
        return Err(sqlx::Error::Configuration(NOT_UTF_8.into()));
    }
    let version = schema_version(&mut tx).await?.unwrap_or(0);
    for script in Sqlite::MIGRATIONS.iter().skip(version as usize) {
        raw_sql(*script).execute(&mut *tx).await?;
    }
    tx.commit().await
}

/// The pragma's answer is a text, too.
async fn is_utf_8(conn: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let same = raw_sql("SELECT CAST('a' AS BLOB) = X'61'");
    same.fetch_one(conn).await?.try_get(0)
}

pub(super) async fn is_migrated(conn: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let tables = raw_sql(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' \
         AND name IN ('idem_keys', 'idem_outbox', 'idem_attempts', 'idem_dead_letters', 'idem_inbox', 'idem_relays', 'idem_schema')",
    );
    let there: i64 = tables.fetch_one(&mut *conn).await?.try_get(0)?;
    let version = schema_version(conn).await?;
    Ok(there == 7 && version.is_some_and(|version| version as usize >= Sqlite::MIGRATIONS.len()))
}

pub(super) async fn schema_version(
    conn: &mut SqliteConnection,
) -> Result<Option<u32>, sqlx::Error> {
    let there =
        raw_sql("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'idem_schema'");
    if there.fetch_all(&mut *conn).await?.is_empty() {
        return Ok(None);
    }
    let version = raw_sql("SELECT version FROM idem_schema")
        .fetch_all(conn)
        .await?;
    version.first().map(|row| row.try_get(0)).transpose()
}
