//! SQLite, from 3.40 on.
//!
//! There is one writer at a time, so `BEGIN IMMEDIATE` waits for the writer, whatever its key, as
//! long as the connection's `busy_timeout` says (5 s by default). It is tried three times, and
//! again until `in_flight` has passed. Then the call ends with `Error::Store`, since the writer may
//! hold this key or another. In one process the calls of one key wait before that and hold no
//! connection.
//!
//! A transaction of the caller should begin with `BEGIN IMMEDIATE` (`pool.begin_with`): one that
//! reads first can lose its right to write to another connection, and then the claim fails at once.
//!
//! An error undoes its own statement alone, so a handler that swallows it commits the rest. The
//! exceptions are a disk that is full or fails, and `ON CONFLICT ROLLBACK`, which end the whole
//! transaction: the call ends with `Error::RolledBack`, but what the handler writes after such an
//! error is outside of every transaction and stays.
//!
//! A call that is dropped closes its connection. If that was the only one to a database in memory,
//! the database is gone: give such a pool a second connection.

mod call;
mod consumers;
mod dead_letters;
pub(crate) mod error_class;
mod inbox;
pub(crate) mod literal;
mod look;
mod outbox_store;
mod relays;
mod round_trip;
mod schema;
mod session;
mod settle;
mod stored_row;
mod transaction;

use std::collections::HashSet;
use std::fmt::Write as _;

use sqlx::error::DatabaseError;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _, Sqlite, SqlitePool, raw_sql};
use sqlx_core::sql_str::SqlSafeStr as _;
use sqlx_core::transaction::TransactionManager as _;
use uuid::Uuid;

use self::call::{
    claim_batch_sql, claim_sql, end_claims_sql, insert_events_sql, is_claim, known_sql,
};
use self::error_class::is_generic;
use self::literal::NOW;
use self::round_trip::{execute, fetch_all, fetch_last};
use super::depth::counted;
use super::verdict::{fits, verdict};
use super::{
    BatchClaim, BeginArgs, Claim, Commit, Deleted, ErrorClass, Fence, FinishArgs, Home, Isolation,
    Keep, Record, State, Store,
};

/// `SQLITE_MAX_SQL_LENGTH` and `SQLITE_MAX_LENGTH`, unless the library was built with others.
const LONGEST_STATEMENT: u64 = 1_000_000_000;

use crate::key::StoredKey;

type Transactions = <Sqlite as sqlx::Database>::TransactionManager;

impl Store for Sqlite {
    const SYSTEM: &'static str = "sqlite";

    const MIGRATIONS: &'static [&'static str] =
        &[include_str!("../../migrations/sqlite/0001_create.sql")];

    async fn depth(conn: &mut SqliteConnection, floor: usize) -> Result<usize, sqlx::Error> {
        if counted::<Sqlite>(conn) > floor {
            // The rollback of a dropped transaction is a message to sqlx's worker, which counts it
            // when it gets there. The worker answers a ping, which is not a statement, after that.
            conn.ping().await?;
        }
        Ok(counted::<Sqlite>(conn))
    }

    async fn find_home(conn: &mut SqliteConnection) -> Result<Home, sqlx::Error> {
        if Self::depth(conn, 0).await? == 0 {
            // Fails inside a transaction that raw SQL began, and changes nothing otherwise: temporary
            // databases have no such level. BEGIN IMMEDIATE would ask for the write lock first, and
            // could not tell such a transaction from another writer.
            let probe = "PRAGMA temp.synchronous = NORMAL";
            execute(conn, probe.into()).await.map_err(foreign)?;
        }
        let row = fetch_last(conn, "SELECT namespace FROM idem_schema".into()).await?;
        let namespace = row.map(|row| row.try_get::<Vec<u8>, _>(0)).transpose()?;
        let namespace = namespace.and_then(|namespace| Uuid::from_slice(&namespace).ok());
        Ok(Home {
            schema: String::new(),
            namespace: namespace.ok_or_else(|| verdict(ErrorClass::NotMigrated))?,
        })
    }

    async fn open(conn: &mut SqliteConnection, args: &BeginArgs<'_>) -> Result<(), sqlx::Error> {
        // Not one batch: where connections share a cache, sqlx runs a batch again that met a lock,
        // from its start.
        Transactions::begin(conn, Some("BEGIN IMMEDIATE".into_sql_str()))
            .await
            .map_err(foreign)?;
        execute(conn, claim_sql(args)).await
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

    async fn is_isolated(_: &mut SqliteConnection, _: Isolation) -> Result<bool, sqlx::Error> {
        // Every transaction is serializable.
        Ok(true)
    }

    async fn join(conn: &mut SqliteConnection, args: &BeginArgs<'_>) -> Result<bool, sqlx::Error> {
        match execute(conn, claim_sql(args)).await {
            Ok(()) => Ok(true),
            Err(error) if Self::classify(&error) == ErrorClass::Duplicate => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn claim_batch(
        conn: &mut SqliteConnection,
        args: &BatchClaim<'_>,
    ) -> Result<Vec<Option<Record>>, sqlx::Error> {
        let sql = claim_batch_sql(args);
        fits(sql.len(), LONGEST_STATEMENT)?;
        let rows = fetch_all(conn, sql).await?;
        let mut found: Vec<_> = args.claims.iter().map(|_| None).collect();
        if rows.len() == found.len() {
            return Ok(found);
        }
        let claimed: Vec<&[u8]> = rows
            .iter()
            .map(|row| row.try_get(0))
            .collect::<Result<_, _>>()?;
        let claimed: HashSet<_> = claimed.into_iter().collect();
        let is_known = |key: &StoredKey| !claimed.contains(key.as_bytes());
        let keys = args.claims.iter().map(|claim| claim.key);
        let known = keys.filter(|key| is_known(key));
        let rows = fetch_all(conn, known_sql(args.scope, known)).await?;
        // No other writer is there, so no row can be gone.
        for row in &rows {
            let key: &[u8] = row.try_get(4)?;
            let place = args
                .claims
                .binary_search_by(|claim| claim.key.as_bytes().cmp(key));
            if let Ok(place) = place {
                found[place] = Some(record(row)?);
            }
        }
        Ok(found)
    }

    async fn abandon(
        conn: &mut SqliteConnection,
        lookup: Option<(&Home, &Claim<'_>)>,
    ) -> Result<Option<Record>, sqlx::Error> {
        // ROLLBACK fails outside of a transaction, where a handler's COMMIT or a failed BEGIN
        // leaves the connection; a savepoint opens one there.
        execute(conn, "SAVEPOINT idem_abandon".into()).await?;
        if Self::depth(conn, 0).await? > 0 {
            Transactions::rollback(conn).await?;
        } else {
            execute(conn, "ROLLBACK".into()).await?;
        }
        match lookup {
            Some((home, claim)) => match Self::lookup(conn, home, claim, false).await {
                // Another writer is in the way. The next claim waits for it, and finds the answer.
                Err(error) if Self::classify(&error) == ErrorClass::Conflict => Ok(None),
                found => found,
            },
            None => Ok(None),
        }
    }

    async fn lookup(
        conn: &mut SqliteConnection,
        _home: &Home,
        claim: &Claim<'_>,
        _in_transaction: bool,
    ) -> Result<Option<Record>, sqlx::Error> {
        let sql = format!(
            "SELECT state, fingerprint, result_version, result FROM idem_keys WHERE {}",
            is_claim(claim),
        );
        let row = fetch_last(conn, sql).await?;
        row.as_ref().map(record).transpose()
    }

    async fn drain(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        execute(conn, "SAVEPOINT idem_abandon; ROLLBACK".into()).await
    }

    async fn undo_effects(conn: &mut SqliteConnection, fence: &Fence) -> Result<(), sqlx::Error> {
        execute(conn, format!("ROLLBACK TO SAVEPOINT {}", fence.savepoint)).await
    }

    async fn finish(
        conn: &mut SqliteConnection,
        args: &FinishArgs<'_>,
        commit: Commit,
    ) -> Result<(), sqlx::Error> {
        let mut sql = format!("RELEASE SAVEPOINT {}", args.fence.savepoint);
        if !args.events.is_empty() {
            insert_events_sql(&mut sql, args.events);
        }
        end_claims_sql(&mut sql, args);
        fits(sql.len(), LONGEST_STATEMENT)?;
        let ended = match fetch_all(conn, sql).await {
            Ok(rows) => rows.len() == args.ends.len(),
            // The tables are there, so what is missing is the savepoint.
            Err(error) if is_generic(&error) => false,
            Err(error) => return Err(error),
        };
        if !ended {
            return Err(verdict(ErrorClass::Lost));
        }
        match commit {
            Commit::Release => Ok(()),
            Commit::Pooled | Commit::Kept => Transactions::commit(conn).await,
        }
    }

    fn classify(error: &sqlx::Error) -> ErrorClass {
        error_class::of(error)
    }

    fn is_conflict(error: &dyn DatabaseError) -> bool {
        error_class::is_conflict(error)
    }

    async fn schema_version(pool: &SqlitePool) -> Result<Option<u32>, sqlx::Error> {
        let mut conn = pool.acquire().await?;
        schema::schema_version(&mut conn).await
    }

    async fn missing_requirements(pool: &SqlitePool) -> Result<Vec<String>, sqlx::Error> {
        schema::missing_requirements(pool).await
    }

    async fn warnings(pool: &SqlitePool) -> Result<Vec<String>, sqlx::Error> {
        schema::warnings(pool).await
    }

    async fn migrate(pool: &SqlitePool) -> Result<(), sqlx::Error> {
        schema::migrate(pool).await
    }

    async fn renew_namespace(pool: &SqlitePool) -> Result<(), sqlx::Error> {
        let mut conn = pool.acquire().await?;
        let sql = "UPDATE idem_schema SET namespace = randomblob(16)";
        execute(&mut conn, sql.into()).await
    }

    async fn purge(pool: &SqlitePool, limit: u32, keep: Keep) -> Result<Deleted, sqlx::Error> {
        let keys = format!(
            "DELETE FROM idem_keys WHERE (scope, key) IN (SELECT scope, key FROM idem_keys \
             WHERE expires_at <= {NOW} ORDER BY expires_at LIMIT {limit}) RETURNING 1"
        );
        let attempts = format!(
            "DELETE FROM idem_attempts WHERE (origin, name, source, id) IN (SELECT origin, name, source, id \
             FROM idem_attempts WHERE touched_at <= {NOW} - {} ORDER BY touched_at LIMIT {limit}) RETURNING 1",
            keep.attempts.as_micros(),
        );
        let done = format!(
            "DELETE FROM idem_inbox WHERE seq IN (SELECT seq FROM idem_inbox \
             WHERE done_at <= {NOW} - {} ORDER BY done_at LIMIT {limit}) RETURNING 1",
            keep.done.as_micros(),
        );
        let mut conn = pool.acquire().await?;
        let keys = fetch_all(&mut conn, keys).await?;
        let attempts = fetch_all(&mut conn, attempts).await?;
        let done = fetch_all(&mut conn, done).await?;
        Ok(Deleted {
            keys: keys.len() as u64,
            attempts: attempts.len() as u64,
            inbox: done.len() as u64,
        })
    }
}

/// What it means that SQLite refuses BEGIN, or the probe of `find_home`, without a code of its own.
fn foreign(error: sqlx::Error) -> sqlx::Error {
    if is_generic(&error) {
        verdict(ErrorClass::ForeignTransaction)
    } else {
        error
    }
}

/// Puts back the savepoints of a transaction of the caller that the handler ended, in a transaction
/// that can be rolled back but, by a constraint that is deferred and violated, not committed.
///
/// Without them sqlx counts a transaction that is not there, a ROLLBACK fails, and the connection
/// goes back to its pool in that state. Under `PRAGMA foreign_keys = OFF`, which is not sqlx's
/// default, the caller's COMMIT succeeds, and commits nothing.
async fn restore_ended(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let mut sql = String::from(
        "SAVEPOINT idem_abandon; ROLLBACK; BEGIN; \
         CREATE TEMP TABLE idem_ended (id INTEGER PRIMARY KEY, \
         the_handler_ended_this_transaction INTEGER REFERENCES idem_ended DEFERRABLE INITIALLY DEFERRED); \
         INSERT INTO idem_ended VALUES (1, 2)",
    );
    for depth in 1..Sqlite::depth(conn, 1).await? {
        // The names that sqlx gives them.
        let _ = write!(sql, "; SAVEPOINT _sqlx_savepoint_{depth}");
    }
    raw_sql(AssertSqlSafe(sql)).execute(conn).await.map(drop)
}

fn record(row: &SqliteRow) -> Result<Record, sqlx::Error> {
    Ok(Record {
        state: State::from_code(row.try_get(0)?),
        fingerprint: row.try_get(1)?,
        result_version: row.try_get(2)?,
        body: row.try_get(3)?,
    })
}

#[cfg(test)]
mod tests;
