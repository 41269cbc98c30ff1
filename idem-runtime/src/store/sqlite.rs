//! SQLite, from 3.40 on.
//!
//! There is one writer at a time, so `BEGIN IMMEDIATE` waits for whoever writes, whatever its key, as long as the
//! connection's `busy_timeout` says (5 s by default). It is tried three times, and again until `in_flight` has
//! passed; then the call ends with `Error::Store`, since the writer may hold this key or another. In one process the
//! calls of one key wait before that and hold no connection.
//!
//! A transaction of the caller should begin with `BEGIN IMMEDIATE` (`pool.begin_with`): one that reads first can
//! lose its right to write to another connection, and then the claim fails at once.
//!
//! An error undoes its own statement alone, so a handler that swallows it commits the rest. The exceptions are
//! a disk that is full or fails, and `ON CONFLICT ROLLBACK`, which end the whole transaction: the call ends with
//! `Error::RolledBack`, but what the handler writes after such an error is outside of every transaction and stays.
//!
//! A call that is dropped closes its connection. If that was the only one to a database in memory, the database is
//! gone: give such a pool a second connection.

#[cfg(feature = "testing")]
mod explorable;
#[cfg(feature = "testing")]
mod lab;
mod outlet;

use std::fmt::Write as _;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _, Sqlite, SqlitePool, raw_sql};
use sqlx_core::sql_str::SqlSafeStr as _;
use sqlx_core::transaction::TransactionManager as _;

use super::{Claim, Commit, Fault, Fence, Finish, Opening, Record, State, Store, told, verdict};
use crate::begin::begin_on;
use crate::key::StoredKey;
use crate::outbox::Row;

type Transactions = <Sqlite as sqlx::Database>::TransactionManager;

/// Microseconds since 1970.
const NOW: &str = "(strftime('%s', 'now') * 1000000 + substr(strftime('%f', 'now'), 4) * 1000)";

begin_on!(Sqlite, SqliteConnection);

impl Store for Sqlite {
    const SYSTEM: &'static str = "sqlite";

    const MIGRATIONS: &'static [&'static str] =
        &[include_str!("../../migrations/sqlite/0001_create.sql")];

    async fn open(conn: &mut SqliteConnection, opening: &Opening<'_>) -> Result<(), sqlx::Error> {
        // Not one batch: where connections share a cache, sqlx runs a batch again that met a lock, from its start.
        Transactions::begin(conn, Some("BEGIN IMMEDIATE".into_sql_str())).await?;
        execute(conn, opening_sql(opening)).await
    }

    async fn unnest(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        if let Err(error) = Transactions::rollback(conn).await {
            if !is_generic(&error) {
                return Err(error);
            }
            restore_ended(conn).await?;
            Transactions::rollback(conn).await?;
        }
        Ok(())
    }

    async fn join(conn: &mut SqliteConnection, opening: &Opening<'_>) -> Result<bool, sqlx::Error> {
        match execute(conn, opening_sql(opening)).await {
            Ok(()) => Ok(true),
            Err(error) if Self::fault(&error) == Fault::Duplicate => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn abandon(
        conn: &mut SqliteConnection,
        claim: Option<&Claim<'_>>,
    ) -> Result<Option<Record>, sqlx::Error> {
        // ROLLBACK fails outside of a transaction, where a handler's COMMIT or a failed BEGIN leaves the connection;
        // a savepoint opens one there.
        execute(conn, "SAVEPOINT idem_abandon".into()).await?;
        if Transactions::get_transaction_depth(conn) > 0 {
            Transactions::rollback(conn).await?;
        } else {
            execute(conn, "ROLLBACK".into()).await?;
        }
        match claim {
            Some(claim) => Self::lookup(conn, claim, false).await,
            None => Ok(None),
        }
    }

    async fn lookup(
        conn: &mut SqliteConnection,
        claim: &Claim<'_>,
        _in_transaction: bool,
    ) -> Result<Option<Record>, sqlx::Error> {
        let sql = format!(
            "SELECT state, fingerprint, result_version, result FROM idem_keys WHERE {}",
            is_claim(claim),
        );
        match fetch_last(conn, sql).await {
            Ok(row) => row.as_ref().map(record).transpose(),
            // A writer is in the way of the question: the claim, which waits, has the answer.
            Err(error) if Self::fault(&error) == Fault::Conflict => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn undo_effects(conn: &mut SqliteConnection, fence: &Fence) -> Result<(), sqlx::Error> {
        execute(conn, format!("ROLLBACK TO SAVEPOINT {}", fence.savepoint)).await
    }

    async fn finish(
        conn: &mut SqliteConnection,
        finish: &Finish<'_>,
        commit: Commit,
    ) -> Result<(), sqlx::Error> {
        let mut sql = format!("RELEASE SAVEPOINT {}", finish.fence.savepoint);
        if !finish.events.is_empty() {
            insert_events_sql(&mut sql, finish.events);
        }
        if let Some(claim) = &finish.claim {
            end_claim_sql(&mut sql, claim, finish);
        }
        let ended = match fetch_last(conn, sql).await {
            Ok(row) => finish.claim.is_none() || row.is_some(),
            // The tables are there, so what is missing is the savepoint.
            Err(error) if is_generic(&error) => false,
            Err(error) => return Err(error),
        };
        if !ended {
            return Err(verdict(Fault::Lost));
        }
        match commit {
            Commit::Release => Ok(()),
            Commit::Pooled | Commit::Kept => Transactions::commit(conn).await,
        }
    }

    fn fault(error: &sqlx::Error) -> Fault {
        if let Some(fault) = told(error) {
            return fault;
        }
        match (code(error), error) {
            // A primary key.
            (Some(1555), _) => Fault::Duplicate,
            (Some(code), _) => match code & 0xff {
                // Busy, and locked in a shared cache, with all their extended codes.
                5 | 6 => Fault::Conflict,
                // The disk failed, perhaps after it had written.
                10 => Fault::Unknown,
                _ => Fault::Refused,
            },
            (None, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed) => {
                Fault::Unknown
            }
            (None, _) => Fault::Refused,
        }
    }

    async fn schema_version(pool: &SqlitePool) -> Result<Option<u32>, sqlx::Error> {
        let mut conn = pool.acquire().await?;
        schema_version(&mut conn).await
    }

    async fn lacks(pool: &SqlitePool) -> Result<Vec<String>, sqlx::Error> {
        // BEGIN IMMEDIATE succeeds on a file that can't be written; a statement that would write does not.
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

    async fn migrate(pool: &SqlitePool) -> Result<(), sqlx::Error> {
        let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
        let version = schema_version(&mut tx).await?.unwrap_or(0);
        for script in Self::MIGRATIONS.iter().skip(version as usize) {
            raw_sql(*script).execute(&mut *tx).await?;
        }
        tx.commit().await
    }

    async fn purge(
        pool: &SqlitePool,
        limit: u32,
        keep: Duration,
    ) -> Result<(u64, u64), sqlx::Error> {
        let keys = format!(
            "DELETE FROM idem_keys WHERE (scope, key) IN (SELECT scope, key FROM idem_keys \
             WHERE expires_at <= {NOW} ORDER BY expires_at LIMIT {limit}) RETURNING 1"
        );
        let events = format!(
            "DELETE FROM idem_outbox WHERE seq IN (SELECT seq FROM idem_outbox \
             WHERE published_at <= {NOW} - {} ORDER BY published_at LIMIT {limit}) RETURNING 1",
            keep.as_micros(),
        );
        let mut conn = pool.acquire().await?;
        let keys = fetch_all(&mut conn, keys).await?;
        let events = fetch_all(&mut conn, events).await?;
        Ok((keys.len() as u64, events.len() as u64))
    }
}

/// Puts back the savepoints of a transaction of the caller that the handler ended, in a transaction that can be rolled
/// back but, by a constraint that is deferred and violated, not committed.
///
/// Without them sqlx counts a transaction that is not there, a ROLLBACK fails, and the connection goes back to its pool
/// so. Under `PRAGMA foreign_keys = OFF`, which is not sqlx's default, the caller's COMMIT succeeds, and commits nothing.
async fn restore_ended(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let mut sql = String::from(
        "SAVEPOINT idem_abandon; ROLLBACK; BEGIN; \
         CREATE TEMP TABLE idem_ended (id INTEGER PRIMARY KEY, \
         the_handler_ended_this_transaction INTEGER REFERENCES idem_ended DEFERRABLE INITIALLY DEFERRED); \
         INSERT INTO idem_ended VALUES (1, 2)",
    );
    for depth in 1..Transactions::get_transaction_depth(conn) {
        // The names that sqlx gives them.
        let _ = write!(sql, "; SAVEPOINT _sqlx_savepoint_{depth}");
    }
    raw_sql(AssertSqlSafe(sql)).execute(conn).await.map(drop)
}

fn opening_sql(opening: &Opening<'_>) -> String {
    let mut sql = String::new();
    if let Some(claim) = &opening.claim {
        let _ = write!(
            sql,
            "INSERT INTO idem_keys (scope, key, fingerprint) VALUES ({}, {}, {}); ",
            text(claim.scope),
            bytes(claim.key.as_bytes()),
            optional(claim.fingerprint.map(StoredKey::as_bytes)),
        );
    }
    let _ = write!(sql, "SAVEPOINT {}", opening.fence.savepoint);
    sql
}

fn is_claim(claim: &Claim<'_>) -> String {
    format!(
        "scope = {} AND key = {}",
        text(claim.scope),
        bytes(claim.key.as_bytes())
    )
}

/// An event of an earlier execution, whose key was purged or deleted since, has the same ID and stays as it is.
fn insert_events_sql(sql: &mut String, events: &[Row]) {
    sql.push_str(
        "; INSERT INTO idem_outbox (id, topic, key, type, payload, content_type, headers) VALUES ",
    );
    for (index, event) in events.iter().enumerate() {
        let _ = write!(
            sql,
            "{}({}, {}, {}, {}, {}, {}, {})",
            if index == 0 { "" } else { ", " },
            bytes(event.id.as_bytes()),
            text(event.topic),
            event.key.as_deref().map_or_else(|| "NULL".into(), text),
            text(event.kind),
            bytes(&event.payload),
            text(event.content_type),
            text(&event.headers),
        );
    }
    sql.push_str(" ON CONFLICT (id) DO NOTHING");
}

/// Ends the claim; a row tells that there was one to end.
fn end_claim_sql(sql: &mut String, claim: &Claim<'_>, finish: &Finish<'_>) {
    let _ = write!(
        sql,
        "; UPDATE idem_keys SET state = {}, result = {}, result_version = {}, expires_at = {} \
         WHERE {} AND state = 0 RETURNING 1",
        finish.end.state() as u8,
        optional(finish.end.body()),
        finish.result_version,
        finish.retention.map_or_else(
            || "NULL".into(),
            |keep| format!("{NOW} + {}", keep.as_micros())
        ),
        is_claim(claim),
    );
}

fn bytes(bytes: &[u8]) -> String {
    format!("X'{}'", hex::encode(bytes))
}

fn optional(value: Option<&[u8]>) -> String {
    value.map_or_else(|| "NULL".into(), bytes)
}

fn text(text: &str) -> String {
    format!("CAST({} AS TEXT)", bytes(text.as_bytes()))
}

async fn execute(conn: &mut SqliteConnection, sql: String) -> Result<(), sqlx::Error> {
    fetch_all(conn, sql).await.map(drop)
}

async fn fetch_last(
    conn: &mut SqliteConnection,
    sql: String,
) -> Result<Option<SqliteRow>, sqlx::Error> {
    Ok(fetch_all(conn, sql).await?.pop())
}

/// Runs one batch, and tells missing tables from every other error that has no code of its own.
async fn fetch_all(
    conn: &mut SqliteConnection,
    sql: String,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    match raw_sql(AssertSqlSafe(sql)).fetch_all(&mut *conn).await {
        Err(error) if is_generic(&error) && !is_migrated(conn).await? => {
            Err(verdict(Fault::NotMigrated))
        }
        result => result,
    }
}

fn record(row: &SqliteRow) -> Result<Record, sqlx::Error> {
    Ok(Record {
        state: State::from_code(row.try_get(0)?),
        fingerprint: row.try_get(1)?,
        result_version: row.try_get(2)?,
        body: row.try_get(3)?,
    })
}

/// The extended result code.
fn code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// `SQLITE_ERROR`: a missing table, column or savepoint, and everything else that is wrong with a statement.
fn is_generic(error: &sqlx::Error) -> bool {
    code(error) == Some(1)
}

async fn is_migrated(conn: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let tables = raw_sql(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' \
         AND name IN ('idem_keys', 'idem_outbox', 'idem_dead_letters', 'idem_relay', 'idem_schema')",
    );
    let there: i64 = tables.fetch_one(&mut *conn).await?.try_get(0)?;
    let version = schema_version(conn).await?;
    Ok(there == 5 && version.is_some_and(|version| version as usize >= Sqlite::MIGRATIONS.len()))
}

async fn schema_version(conn: &mut SqliteConnection) -> Result<Option<u32>, sqlx::Error> {
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

#[cfg(test)]
mod tests;
