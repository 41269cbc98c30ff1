//! PostgreSQL, also behind PgBouncer in transaction pooling: no statement here is prepared, and no
//! setting outlives its transaction.
//!
//! A call of its own makes two round trips beside the handler's: BEGIN with the claim, and the end with COMMIT.
//! The arguments travel as literals, since only the simple protocol takes several statements at once.

#[cfg(feature = "testing")]
mod explorable;
#[cfg(feature = "testing")]
mod lab;
mod outlet;
#[cfg(feature = "testing")]
pub(crate) mod refusal;

use std::fmt::Write as _;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Executor as _, PgPool, Postgres, Row as _, raw_sql};
use sqlx_core::sql_str::SqlSafeStr as _;
use sqlx_core::transaction::TransactionManager as _;

use super::{Claim, Commit, Fault, Fence, Finish, Opening, Record, State, Store};
use crate::begin::begin_on;
use crate::outbox::Row;

/// What a handler's role can't find or may not do, in sentences.
const LACKS: &str = "
SELECT format('`%s` is not granted: GRANT %s ON %s TO %I', privilege, privilege, to_regclass(name), current_user)
FROM (VALUES ('idem_keys', 'SELECT'), ('idem_keys', 'INSERT'), ('idem_keys', 'UPDATE'), ('idem_outbox', 'SELECT'),
             ('idem_outbox', 'INSERT'), ('idem_schema', 'SELECT')) AS needed (name, privilege)
WHERE NOT has_table_privilege(to_regclass(name), privilege)
UNION ALL
SELECT CASE
    WHEN function IS NULL THEN format('the procedure `%s` is not on the search path: apply the migrations again, or set search_path to \
        the schema of `idem_keys`', name)
    WHEN pronamespace <> relnamespace THEN format('the procedure `%s` is found in the schema %s and `idem_keys` in %s: set search_path \
        so that both are of one', name, pronamespace::regnamespace, relnamespace::regnamespace)
    ELSE format('`EXECUTE` is not granted: GRANT EXECUTE ON PROCEDURE %s TO %I', function, current_user)
END
FROM (VALUES ('idem_claim(text,bytea,bytea,integer)'), ('idem_try_claim(text,bytea,bytea,integer,boolean)'),
             ('idem_find(text,bytea,text)'), ('idem_emit(uuid,text,text,text,bytea,text,text)'),
             ('idem_finish(text,bytea,integer,bytea,integer,bigint)'),
             ('idem_emit_and_finish(uuid,text,text,text,bytea,text,text,text,bytea,integer,bytea,integer,bigint)')) AS needed (name)
CROSS JOIN to_regprocedure(name) AS function
LEFT JOIN pg_proc ON pg_proc.oid = function
JOIN pg_class ON pg_class.oid = to_regclass('idem_keys')
WHERE function IS NULL OR pronamespace <> relnamespace OR NOT has_function_privilege(function, 'EXECUTE')
UNION ALL
SELECT 'the server or the role is read-only (transaction_read_only is on): connect to the primary'
WHERE current_setting('transaction_read_only')::boolean";

type Transactions = <Postgres as sqlx::Database>::TransactionManager;

begin_on!(Postgres, PgConnection);

impl Store for Postgres {
    const SYSTEM: &'static str = "postgresql";

    const MIGRATIONS: &'static [&'static str] =
        &[include_str!("../../migrations/postgres/0001_create.sql")];

    async fn open(conn: &mut PgConnection, opening: &Opening<'_>) -> Result<(), sqlx::Error> {
        let sql = format!("BEGIN; {}", opening_sql(opening, Taken::Raised));
        Transactions::begin(conn, Some(AssertSqlSafe(sql).into_sql_str())).await
    }

    async fn nest(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        Undropped::new(Transactions::begin(conn, None)).await
    }

    async fn join(conn: &mut PgConnection, opening: &Opening<'_>) -> Result<bool, sqlx::Error> {
        let row = fetch_last(conn, opening_sql(opening, Taken::Told)).await?;
        row.map_or(Ok(true), |row| row.try_get(0))
    }

    async fn abandon(
        conn: &mut PgConnection,
        claim: Option<&Claim<'_>>,
    ) -> Result<Option<Record>, sqlx::Error> {
        if Transactions::get_transaction_depth(conn) > 0 {
            Transactions::rollback(conn).await?;
            return Ok(None);
        }
        let mut sql = String::from("ROLLBACK");
        if let Some(claim) = claim {
            sql.push_str("; ");
            sql.push_str(&lookup_sql(claim));
        }
        let row = fetch_last(conn, sql).await?;
        row.as_ref().map_or(Ok(None), record)
    }

    async fn lookup(
        conn: &mut PgConnection,
        claim: &Claim<'_>,
        _in_transaction: bool,
    ) -> Result<Option<Record>, sqlx::Error> {
        let row = fetch_last(conn, lookup_sql(claim)).await?;
        row.as_ref().map_or(Ok(None), record)
    }

    async fn undo_effects(conn: &mut PgConnection, fence: &Fence) -> Result<(), sqlx::Error> {
        let sql = format!("ROLLBACK TO SAVEPOINT {}", fence.savepoint);
        raw_sql(AssertSqlSafe(sql)).execute(conn).await.map(drop)
    }

    async fn finish(
        conn: &mut PgConnection,
        finish: &Finish<'_>,
        commit: Commit,
    ) -> Result<(), sqlx::Error> {
        let mut sql = String::new();
        if finish.claim.is_none() {
            // The fence of a call without a key: it fails outside of the transaction that set it.
            let _ = write!(sql, "RELEASE SAVEPOINT {}; ", finish.fence.savepoint);
        }
        match (finish.events, &finish.claim) {
            ([event], Some(claim)) => {
                sql.push_str("CALL idem_emit_and_finish(");
                event_sql(&mut sql, event);
                sql.push_str(", ");
                end_sql(&mut sql, claim, finish);
            }
            (events, claim) => {
                emit_sql(&mut sql, events);
                if let Some(claim) = claim {
                    sql.push_str("CALL idem_finish(");
                    end_sql(&mut sql, claim, finish);
                }
            }
        }
        if commit == Commit::Pooled {
            // The chained transaction is empty. Its ROLLBACK is queued below and goes out when the pool takes the
            // connection back, which saves the round trip that would tell sqlx of a COMMIT it did not send.
            sql.push_str("COMMIT AND CHAIN");
        }
        if !sql.is_empty() {
            raw_sql(AssertSqlSafe(sql)).execute(&mut *conn).await?;
        }
        match commit {
            Commit::Release => {}
            Commit::Pooled => Transactions::start_rollback(conn),
            Commit::Kept => Transactions::commit(conn).await?,
        }
        Ok(())
    }

    fn fault(error: &sqlx::Error) -> Fault {
        let Some(code) = error.as_database_error().and_then(DatabaseError::code) else {
            return match error {
                sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
                    Fault::Unknown
                }
                _ => Fault::Refused,
            };
        };
        match &*code {
            "IDM01" => Fault::Duplicate,
            "40001" | "40P01" => Fault::Conflict,
            "55P03" => Fault::TimedOut,
            // Our own verdict, an aborted transaction, no transaction, a savepoint that is gone.
            "IDM02" | "25P02" | "25P01" | "3B001" => Fault::Lost,
            // A missing table, function, column or schema.
            "42P01" | "42883" | "42703" | "3F000" => Fault::NotMigrated,
            // The server goes away, or reports an internal fault, perhaps after it has committed.
            code if ["57P", "08", "58", "XX", "F0"]
                .iter()
                .any(|class| code.starts_with(class)) =>
            {
                Fault::Unknown
            }
            _ => Fault::Refused,
        }
    }

    async fn schema_version(pool: &PgPool) -> Result<Option<u32>, sqlx::Error> {
        let mut conn = pool.acquire().await?;
        schema_version(&mut conn).await
    }

    async fn lacks(pool: &PgPool) -> Result<Vec<String>, sqlx::Error> {
        let mut conn = pool.acquire().await?;
        let rows = raw_sql(LACKS).fetch_all(&mut *conn).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }

    async fn migrate(pool: &PgPool) -> Result<(), sqlx::Error> {
        let mut tx = pool.begin().await?;
        // "idem", so that services which start together migrate one after the other.
        tx.execute("SELECT pg_advisory_xact_lock(1768187245)")
            .await?;
        let version = schema_version(&mut tx).await?.unwrap_or(0);
        for script in Self::MIGRATIONS.iter().skip(version as usize) {
            raw_sql(*script).execute(&mut *tx).await?;
        }
        tx.commit().await
    }

    async fn purge(pool: &PgPool, limit: u32, keep: Duration) -> Result<(u64, u64), sqlx::Error> {
        let keys = format!(
            "DELETE FROM idem_keys WHERE ctid = ANY (ARRAY(SELECT ctid FROM idem_keys \
             WHERE expires_at <= clock_timestamp() ORDER BY expires_at LIMIT {limit} FOR UPDATE SKIP LOCKED))"
        );
        let events = format!(
            "DELETE FROM idem_outbox WHERE ctid = ANY (ARRAY(SELECT ctid FROM idem_outbox \
             WHERE published_at <= clock_timestamp() - {} * interval '1 millisecond' \
             ORDER BY published_at LIMIT {limit} FOR UPDATE SKIP LOCKED))",
            keep.as_millis(),
        );
        let mut conn = pool.acquire().await?;
        let keys = raw_sql(AssertSqlSafe(keys)).execute(&mut *conn).await?;
        let events = raw_sql(AssertSqlSafe(events)).execute(&mut *conn).await?;
        Ok((keys.rows_affected(), events.rows_affected()))
    }
}

/// How a claim says that its key is taken.
#[derive(Clone, Copy)]
enum Taken {
    /// By an error.
    Raised,
    /// By a row.
    Told,
}

fn opening_sql(opening: &Opening<'_>, taken: Taken) -> String {
    let mut sql = String::new();
    if let Some(claim) = &opening.claim {
        let (procedure, answer) = match taken {
            Taken::Raised => ("idem_claim", ""),
            Taken::Told => ("idem_try_claim", ", NULL"),
        };
        let _ = write!(
            sql,
            "CALL {procedure}({}, {}, {}, {}{answer})",
            text(claim.scope),
            bytes(claim.key.as_bytes()),
            optional(claim.fingerprint.map(crate::key::StoredKey::as_bytes)),
            // Zero would be no bound at all.
            opening.wait.as_millis().clamp(1, i32::MAX as u128),
        );
    }
    if opening.claim.is_none() || opening.fence.undoable {
        if !sql.is_empty() {
            sql.push_str("; ");
        }
        let _ = write!(sql, "SAVEPOINT {}", opening.fence.savepoint);
    }
    sql
}

fn lookup_sql(claim: &Claim<'_>) -> String {
    format!(
        "CALL idem_find({}, {}, NULL)",
        text(claim.scope),
        bytes(claim.key.as_bytes()),
    )
}

/// The rest of a call that ends a claim.
fn end_sql(sql: &mut String, claim: &Claim<'_>, finish: &Finish<'_>) {
    let _ = write!(
        sql,
        "{}, {}, {}, {}, {}, {}); ",
        text(claim.scope),
        bytes(claim.key.as_bytes()),
        finish.end.state() as u8,
        optional(finish.end.body()),
        finish.result_version,
        finish
            .retention
            .map_or_else(|| "NULL".into(), |keep| keep.as_millis().to_string()),
    );
}

/// One event, as handlers mostly emit, by the procedure whose plan the session keeps; several in one statement.
///
/// An event of an earlier execution, whose key was purged or deleted since, has the same ID and stays as it is.
fn emit_sql(sql: &mut String, events: &[Row]) {
    match events {
        [] => {}
        [event] => {
            sql.push_str("CALL idem_emit(");
            event_sql(sql, event);
            sql.push_str("); ");
        }
        [first, rest @ ..] => {
            sql.push_str(
                "INSERT INTO idem_outbox (id, topic, key, type, payload, content_type, headers) VALUES (",
            );
            event_sql(sql, first);
            for event in rest {
                sql.push_str("), (");
                event_sql(sql, event);
            }
            sql.push_str(") ON CONFLICT (id) DO NOTHING; ");
        }
    }
}

fn event_sql(sql: &mut String, event: &Row) {
    let _ = write!(
        sql,
        "'{}', {}, {}, {}, {}, {}, {}",
        event.id,
        text(event.topic),
        event.key.as_deref().map_or_else(|| "NULL".into(), text),
        text(event.kind),
        bytes(&event.payload),
        text(event.content_type),
        text(&event.headers),
    );
}

/// A bytea literal that no setting of the session can misread. Bare, its type follows from where it stands.
fn bytes(bytes: &[u8]) -> String {
    format!("E'\\\\x{}'", hex::encode(bytes))
}

fn optional(value: Option<&[u8]>) -> String {
    value.map_or_else(|| "NULL".into(), bytes)
}

/// A text literal, whatever `standard_conforming_strings` says: E'' strings always read backslashes.
fn text(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Runs one batch in one round trip; the last row of it.
async fn fetch_last(conn: &mut PgConnection, sql: String) -> Result<Option<PgRow>, sqlx::Error> {
    Ok(raw_sql(AssertSqlSafe(sql)).fetch_all(conn).await?.pop())
}

/// Reads the answer of `idem_find`.
fn record(row: &PgRow) -> Result<Option<Record>, sqlx::Error> {
    let Some(record) = row.try_get::<Option<&str>, _>(0)? else {
        return Ok(None);
    };
    let unhex = |hexed: &str| match hexed {
        "-" => Ok(None),
        hexed => hex::decode(hexed)
            .map(Some)
            .map_err(|error| sqlx::Error::Decode(error.into())),
    };
    let mut fields = record.split(' ');
    let mut field = || fields.next().unwrap_or_default();
    let number = |field: &str| {
        field
            .parse::<i32>()
            .map_err(|error| sqlx::Error::Decode(error.into()))
    };
    Ok(Some(Record {
        state: State::from_code(i16::try_from(number(field())?).unwrap_or_default()),
        result_version: u32::try_from(number(field())?).unwrap_or_default(),
        fingerprint: unhex(field())?,
        body: unhex(field())?,
    }))
}

async fn schema_version(conn: &mut PgConnection) -> Result<Option<u32>, sqlx::Error> {
    let there = fetch_last(conn, "SELECT to_regclass('idem_schema') IS NOT NULL".into()).await?;
    if !there.map_or(Ok(false), |row| row.try_get(0))? {
        return Ok(None);
    }
    let row = fetch_last(conn, "SELECT version FROM idem_schema".into()).await?;
    row.map(|row| row.try_get::<i32, _>(0).map(i32::unsigned_abs))
        .transpose()
}

/// A future whose destructor does not run if it is dropped before its end.
///
/// sqlx's nested `begin`, dropped half way, queues a ROLLBACK of the *outer* transaction and counts it
/// as ended, so the caller's `commit()` answers `Ok` and nothing is stored. Left alone, it leaves at most a
/// savepoint that nobody names. The price is a few hundred bytes for each joined call that is
/// cancelled in its first round trip.
struct Undropped<F>(ManuallyDrop<Pin<Box<F>>>);

impl<F: Future> Undropped<F> {
    fn new(future: F) -> Self {
        Self(ManuallyDrop::new(Box::pin(future)))
    }
}

impl<F: Future> Future for Undropped<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.0.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests;
