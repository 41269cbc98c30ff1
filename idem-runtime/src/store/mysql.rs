//! MySQL and MariaDB, by what both understand.
//!
//! A call of its own makes two round trips beside the handler's: BEGIN with the claim, and the end with COMMIT.
//! The arguments travel as hexadecimal literals, which no SQL mode can misread; only the text protocol takes several
//! statements at once.
//!
//! The server ends a transaction behind the client's back: a deadlock rolls all of it back, DDL commits it, and what
//! follows would commit statement by statement. Hence `autocommit = 0` while a transaction is ours, and a savepoint
//! right after the claim, whose RELEASE fails in every other transaction. In a transaction of the caller
//! `autocommit` can't be changed any more: there, a handler that swallows a deadlock and goes on writes outside of
//! every transaction. The call ends with `Error::RolledBack`, but what came after the deadlock stays.
//!
//! An error of any other kind undoes its own statement alone, so a handler that swallows it commits the rest.

#[cfg(feature = "testing")]
mod explorable;
#[cfg(feature = "testing")]
mod lab;
mod outlet;
#[cfg(feature = "testing")]
pub(crate) mod refusal;

use std::fmt::Write as _;
use std::time::Duration;

use sqlx::mysql::{MySqlConnection, MySqlDatabaseError, MySqlRow};
use sqlx::{AssertSqlSafe, Connection as _, MySql, MySqlPool, Row as _, raw_sql};
use sqlx_core::sql_str::SqlSafeStr as _;
use sqlx_core::transaction::TransactionManager as _;

use super::{Claim, Commit, Fault, Fence, Finish, Opening, Record, State, Store};
use crate::begin::begin_on;
use crate::key::StoredKey;
use crate::outbox::Row;

type Transactions = <MySql as sqlx::Database>::TransactionManager;

/// How long a service waits for another one that migrates.
const MIGRATION_WAIT: Duration = Duration::from_mins(1);

/// What handlers do to the tables. EXPLAIN needs the privileges of the statement and runs nothing.
const NEEDED: [(&str, &str, &str); 7] = [
    ("SELECT", "idem_keys", "SELECT result FROM idem_keys"),
    (
        "INSERT",
        "idem_keys",
        "INSERT INTO idem_keys (scope, `key`) VALUES ('', '')",
    ),
    ("UPDATE", "idem_keys", "UPDATE idem_keys SET state = 0"),
    ("SELECT", "idem_outbox", "SELECT id FROM idem_outbox"),
    (
        "INSERT",
        "idem_outbox",
        "INSERT INTO idem_outbox (topic) VALUES ('')",
    ),
    // For the event that is there already.
    ("UPDATE", "idem_outbox", "UPDATE idem_outbox SET id = id"),
    ("SELECT", "idem_schema", "SELECT version FROM idem_schema"),
];

/// Tables without transactions, and a server that takes no writes, in sentences.
const UNFIT: &str = "
SELECT CONCAT('the table `', table_name, '` has the engine ', engine, ', which has no transactions: ALTER TABLE ', table_name,
    ' ENGINE = InnoDB')
FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_name IN ('idem_keys', 'idem_outbox', 'idem_dead_letters') AND engine <> 'InnoDB'
UNION ALL
SELECT 'the server is read-only (read_only is on): connect to the primary' FROM DUAL WHERE @@global.read_only";

begin_on!(MySql, MySqlConnection);

impl Store for MySql {
    const SYSTEM: &'static str = "mysql";

    const MIGRATIONS: &'static [&'static str] =
        &[include_str!("../../migrations/mysql/0001_create.sql")];

    async fn open(conn: &mut MySqlConnection, opening: &Opening<'_>) -> Result<(), sqlx::Error> {
        let sql = opening_sql(
            "@idem_autocommit = @@autocommit, autocommit = 0, ",
            "START TRANSACTION; ",
            opening,
        );
        Transactions::begin(conn, Some(AssertSqlSafe(sql).into_sql_str())).await
    }

    async fn join(conn: &mut MySqlConnection, opening: &Opening<'_>) -> Result<bool, sqlx::Error> {
        let sql = opening_sql("", "", opening);
        let Err(error) = execute(conn, sql).await else {
            return Ok(true);
        };
        if error.as_database_error().is_some() {
            execute(conn, RESTORE_WAIT.into()).await?;
        }
        match Self::fault(&error) {
            Fault::Duplicate => Ok(false),
            _ => Err(error),
        }
    }

    async fn abandon(
        conn: &mut MySqlConnection,
        claim: Option<&Claim<'_>>,
    ) -> Result<Option<Record>, sqlx::Error> {
        let mut sql = format!("ROLLBACK; {RESTORE_AUTOCOMMIT}");
        let begun = Transactions::get_transaction_depth(conn) > 0;
        if !begun {
            // The batch that opened did not reach its own end; a handler may have set the timeout later on.
            let _ = write!(sql, "; {RESTORE_WAIT}");
        }
        if let Some(claim) = claim {
            sql.push_str("; ");
            lookup_sql(&mut sql, claim, false);
        }
        let row = fetch_last(conn, sql).await?;
        Transactions::start_rollback(conn);
        row.as_ref().map(record).transpose()
    }

    async fn lookup(
        conn: &mut MySqlConnection,
        claim: &Claim<'_>,
        in_transaction: bool,
    ) -> Result<Option<Record>, sqlx::Error> {
        let mut sql = String::new();
        lookup_sql(&mut sql, claim, in_transaction);
        let row = fetch_last(conn, sql).await?;
        row.as_ref().map(record).transpose()
    }

    async fn undo_effects(conn: &mut MySqlConnection, fence: &Fence) -> Result<(), sqlx::Error> {
        execute(conn, format!("ROLLBACK TO SAVEPOINT {}", fence.savepoint)).await
    }

    async fn finish(
        conn: &mut MySqlConnection,
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
        if commit == Commit::Release {
            return execute(conn, sql).await;
        }
        let _ = write!(sql, "; COMMIT; {RESTORE_AUTOCOMMIT}");
        execute(conn, sql).await?;
        // Tells sqlx of the COMMIT that it did not send. The ROLLBACK that this queues goes out with the
        // connection's next statement, or when the pool takes it back, and ends nothing.
        Transactions::start_rollback(conn);
        Ok(())
    }

    fn fault(error: &sqlx::Error) -> Fault {
        let Some(number) = number(error) else {
            return match error {
                sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
                    Fault::Unknown
                }
                _ => Fault::Refused,
            };
        };
        meaning(number)
    }

    async fn schema_version(pool: &MySqlPool) -> Result<Option<u32>, sqlx::Error> {
        let mut conn = pool.acquire().await?;
        schema_version(&mut conn).await
    }

    async fn lacks(pool: &MySqlPool) -> Result<Vec<String>, sqlx::Error> {
        let mut conn = pool.acquire().await?;
        let mut lacks = Vec::new();
        for (privilege, table, statement) in NEEDED {
            let probe = format!("EXPLAIN {statement}");
            match fetch_last(&mut conn, probe).await {
                // The command, or a column of it, is denied.
                Err(error) if matches!(number(&error), Some(1142 | 1143)) => lacks.push(format!(
                    "`{privilege}` is not granted: GRANT {privilege} ON {table} to the user of this connection"
                )),
                // A missing table has no engine below either.
                Err(error) if Self::fault(&error) != Fault::NotMigrated => return Err(error),
                _ => {}
            }
        }
        for row in raw_sql(UNFIT).fetch_all(&mut *conn).await? {
            lacks.push(row.try_get(0)?);
        }
        // In a session whose autocommit is off all this began a transaction.
        execute(&mut conn, "COMMIT".into()).await?;
        Ok(lacks)
    }

    async fn migrate(pool: &MySqlPool) -> Result<(), sqlx::Error> {
        // The lock is the session's, and a session ends with its connection, however this call does.
        let mut conn = pool.acquire().await?.detach();
        let lock = format!(
            "SELECT GET_LOCK('idem_migrate', {})",
            MIGRATION_WAIT.as_secs()
        );
        let locked = fetch_last(&mut conn, lock).await?;
        if locked.map_or(Ok(None), |row| row.try_get::<Option<i64>, _>(0))? != Some(1) {
            return Err(sqlx::Error::PoolTimedOut);
        }
        let version = schema_version(&mut conn).await?.unwrap_or(0);
        for script in Self::MIGRATIONS.iter().skip(version as usize) {
            raw_sql(*script).execute(&mut conn).await?;
        }
        // DDL commits by itself; the version does where autocommit is on.
        execute(&mut conn, "COMMIT".into()).await?;
        conn.close().await
    }

    async fn purge(
        pool: &MySqlPool,
        limit: u32,
        keep: Duration,
    ) -> Result<(u64, u64), sqlx::Error> {
        // At READ COMMITTED a delete locks the rows that it finds and not the gaps between, where handlers insert.
        let keys = format!(
            "{READ_COMMITTED}; \
             DELETE FROM idem_keys WHERE expires_at <= UTC_TIMESTAMP(6) ORDER BY expires_at LIMIT {limit}; COMMIT"
        );
        let events = format!(
            "{READ_COMMITTED}; \
             DELETE FROM idem_outbox WHERE published_at <= UTC_TIMESTAMP(6) - INTERVAL {} MICROSECOND \
             ORDER BY published_at LIMIT {limit}; COMMIT",
            keep.as_micros(),
        );
        let mut conn = pool.acquire().await?;
        let keys = raw_sql(AssertSqlSafe(keys)).execute(&mut *conn).await?;
        let events = raw_sql(AssertSqlSafe(events)).execute(&mut *conn).await?;
        Ok((keys.rows_affected(), events.rows_affected()))
    }
}

/// What an error means, by its number.
const fn meaning(number: u16) -> Fault {
    match number {
        1062 => Fault::Duplicate,
        // A deadlock, also a failed certification at COMMIT; the same of a replication group; a row that is newer
        // than the snapshot.
        1213 | 3101 | 1020 => Fault::Conflict,
        1205 => Fault::TimedOut,
        // A savepoint that is gone, and the verdict of `end_claim_sql`.
        1305 | 1242 => Fault::Lost,
        // A missing table or column.
        1146 | 1054 => Fault::NotMigrated,
        // Shutdown, a network that broke, a killed connection or statement, COMMIT itself: by number, the server's
        // 1053, 1152 to 1161, 1180, 1317, 1927, 1969, 3024, 4031, and the client's 2006 and 2013.
        1053 | 1152..=1161 | 1180 | 1317 | 1927 | 1969 | 2006 | 2013 | 3024 | 4031 => {
            Fault::Unknown
        }
        _ => Fault::Refused,
    }
}

const RESTORE_AUTOCOMMIT: &str = "SET autocommit = @idem_autocommit";
const RESTORE_WAIT: &str = "SET innodb_lock_wait_timeout = @idem_wait";

/// In a session whose autocommit is off a SELECT begins a transaction, too.
const END_READ: &str = "; COMMIT";

/// For the next transaction alone.
const READ_COMMITTED: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// One SET for all: a batch costs the server time for each of its statements.
fn opening_sql(settings: &str, begin: &str, opening: &Opening<'_>) -> String {
    let mut sql = format!("SET {settings}@idem_wait = @@innodb_lock_wait_timeout");
    if let Some(claim) = &opening.claim {
        let _ = write!(
            sql,
            ", innodb_lock_wait_timeout = {}; {begin}\
             INSERT INTO idem_keys (scope, `key`, fingerprint) VALUES ({}, {}, {}); {RESTORE_WAIT}; ",
            lock_wait(opening.wait),
            bytes(claim.scope.as_bytes()),
            bytes(claim.key.as_bytes()),
            optional(claim.fingerprint.map(StoredKey::as_bytes)),
        );
    } else {
        let _ = write!(sql, "; {begin}");
    }
    let _ = write!(sql, "SAVEPOINT {}", opening.fence.savepoint);
    sql
}

/// The server counts in whole seconds, from 0 on MariaDB, from 1 on MySQL.
fn lock_wait(wait: Duration) -> String {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    match seconds {
        0 => "IF(VERSION() LIKE '%MariaDB%', 0, 1)".into(),
        // The highest value that MariaDB takes.
        seconds => seconds.min(100_000_000).to_string(),
    }
}

fn lookup_sql(sql: &mut String, claim: &Claim<'_>, in_transaction: bool) {
    if !in_transaction {
        // A session at READ UNCOMMITTED would take a claim that is still running for an unfinished one.
        let _ = write!(sql, "{READ_COMMITTED}; ");
    }
    let _ = write!(
        sql,
        "SELECT state, fingerprint, result_version, result FROM idem_keys WHERE scope = {} AND `key` = {}{}",
        bytes(claim.scope.as_bytes()),
        bytes(claim.key.as_bytes()),
        if in_transaction {
            // The transaction's snapshot may be older than the row that its claim met.
            " LOCK IN SHARE MODE"
        } else {
            END_READ
        },
    );
}

/// An event of an earlier execution, whose key was purged or deleted since, has the same ID and stays as it is.
fn insert_events_sql(sql: &mut String, events: &[Row]) {
    sql.push_str(
        "; INSERT INTO idem_outbox (id, topic, `key`, type, payload, content_type, headers) VALUES ",
    );
    for (index, event) in events.iter().enumerate() {
        let _ = write!(
            sql,
            "{}({}, {}, {}, {}, {}, {}, {})",
            if index == 0 { "" } else { ", " },
            bytes(event.id.as_bytes()),
            text(event.topic),
            optional(event.key.as_deref().map(str::as_bytes)),
            text(event.kind),
            bytes(&event.payload),
            text(event.content_type),
            text(&event.headers),
        );
    }
    sql.push_str(" ON DUPLICATE KEY UPDATE id = id");
}

/// Ends the claim, and the batch with an error if there is none to end.
fn end_claim_sql(sql: &mut String, claim: &Claim<'_>, finish: &Finish<'_>) {
    let _ = write!(
        sql,
        "; UPDATE idem_keys SET state = {}, result = {}, result_version = {}, expires_at = {} \
         WHERE scope = {} AND `key` = {} AND state = 0; \
         SET @idem_ended = IF(ROW_COUNT() = 1, 1, (SELECT 1 UNION ALL SELECT 2))",
        finish.end.state() as u8,
        optional(finish.end.body()),
        finish.result_version,
        finish.retention.map_or_else(
            || "NULL".into(),
            |keep| format!(
                "UTC_TIMESTAMP(6) + INTERVAL {} MICROSECOND",
                keep.as_micros()
            )
        ),
        bytes(claim.scope.as_bytes()),
        bytes(claim.key.as_bytes()),
    );
}

fn bytes(bytes: &[u8]) -> String {
    format!("X'{}'", hex::encode(bytes))
}

fn optional(value: Option<&[u8]>) -> String {
    value.map_or_else(|| "NULL".into(), bytes)
}

fn text(text: &str) -> String {
    format!("_utf8mb4 {}", bytes(text.as_bytes()))
}

async fn execute(conn: &mut MySqlConnection, sql: String) -> Result<(), sqlx::Error> {
    raw_sql(AssertSqlSafe(sql)).execute(conn).await.map(drop)
}

/// Runs one batch in one round trip; the last row of it.
async fn fetch_last(
    conn: &mut MySqlConnection,
    sql: String,
) -> Result<Option<MySqlRow>, sqlx::Error> {
    Ok(raw_sql(AssertSqlSafe(sql)).fetch_all(conn).await?.pop())
}

fn record(row: &MySqlRow) -> Result<Record, sqlx::Error> {
    Ok(Record {
        state: State::from_code(row.try_get(0)?),
        fingerprint: row.try_get(1)?,
        result_version: row.try_get(2)?,
        body: row.try_get(3)?,
    })
}

fn number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?;
    Some(
        error
            .try_downcast_ref::<MySqlDatabaseError>()
            .map_or(0, MySqlDatabaseError::number),
    )
}

async fn schema_version(conn: &mut MySqlConnection) -> Result<Option<u32>, sqlx::Error> {
    match fetch_last(conn, format!("SELECT version FROM idem_schema{END_READ}")).await {
        Ok(row) => row
            .map(|row| row.try_get::<i32, _>(0).map(i32::unsigned_abs))
            .transpose(),
        Err(error) if MySql::fault(&error) == Fault::NotMigrated => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
