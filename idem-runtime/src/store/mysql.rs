//! MySQL and MariaDB, by what both understand.
//!
//! A call of its own makes two round trips besides the handler's: BEGIN with the claim, and the end
//! with COMMIT. The first call on a pool makes one more, to learn the namespace. The arguments
//! travel as hexadecimal literals, which no SQL mode can misread; only the text protocol takes
//! several statements at once.
//!
//! The server ends a transaction behind the client's back: a deadlock rolls all of it back, DDL
//! commits it, and what follows would commit statement by statement. Hence `autocommit = 0` while a
//! transaction is ours, and a savepoint right after the claim, whose RELEASE fails in every other
//! transaction. In a transaction of the caller `autocommit` can't be changed any more: there, a
//! handler that swallows a deadlock and goes on writes outside of every transaction. The call ends
//! with `Error::RolledBack`, but what came after the deadlock stays.
//!
//! An error of any other kind undoes its own statement alone, so a handler that swallows it commits
//! the rest.

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

use std::fmt::Write as _;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, MySql, MySqlPool, Row as _, raw_sql};
use sqlx_core::sql_str::SqlSafeStr as _;
use sqlx_core::transaction::TransactionManager as _;
use uuid::Uuid;

use self::call::{
    RESTORE_AUTOCOMMIT, RESTORE_WAIT, claim_batch_sql, end_claims_sql, insert_events_sql, join_sql,
    lookup_sql, open_sql,
};
use self::round_trip::{END_READ, READ_COMMITTED, execute, fetch_all, fetch_last, fits_packet};
use super::verdict::verdict;
use super::{
    BatchClaim, BeginArgs, Claim, Commit, Deleted, ErrorClass, Fence, FinishArgs, Home, Isolation,
    Keep, Record, State, Store,
};

type Transactions = <MySql as sqlx::Database>::TransactionManager;

impl Store for MySql {
    const SYSTEM: &'static str = "mysql";

    const MIGRATIONS: &'static [&'static str] =
        &[include_str!("../../migrations/mysql/0001_create.sql")];

    /// A statement that is cancelled while it is prepared leaves sqlx waiting for an answer that does
    /// not come.
    const DRAIN_LIMIT: Option<Duration> = Some(Duration::from_secs(10));

    async fn find_home(conn: &mut MySqlConnection) -> Result<Home, sqlx::Error> {
        let ask = "SELECT namespace FROM idem_schema";
        let sql = if Self::depth(conn, 0).await? > 0 {
            ask.into()
        } else {
            format!("{READ_COMMITTED}; {ask}{END_READ}")
        };
        let row = fetch_last(conn, sql).await?;
        let namespace = row.map(|row| row.try_get::<Vec<u8>, _>(0)).transpose()?;
        let namespace = namespace.and_then(|namespace| Uuid::from_slice(&namespace).ok());
        Ok(Home {
            schema: String::new(),
            namespace: namespace.ok_or_else(|| verdict(ErrorClass::NotMigrated))?,
        })
    }

    async fn open(conn: &mut MySqlConnection, args: &BeginArgs<'_>) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(open_sql(args)).into_sql_str();
        Transactions::begin(conn, Some(sql)).await
    }

    async fn is_isolated(_: &mut MySqlConnection, _: Isolation) -> Result<bool, sqlx::Error> {
        // The server shows the level of the session, and not that of the transaction that is open.
        Ok(false)
    }

    async fn join(conn: &mut MySqlConnection, args: &BeginArgs<'_>) -> Result<bool, sqlx::Error> {
        let Err(error) = execute(conn, join_sql(args)).await else {
            return Ok(true);
        };
        if error.as_database_error().is_some() {
            execute(conn, RESTORE_WAIT.into()).await?;
        }
        match Self::classify(&error) {
            ErrorClass::Duplicate => Ok(false),
            _ => Err(error),
        }
    }

    async fn claim_batch(
        conn: &mut MySqlConnection,
        args: &BatchClaim<'_>,
    ) -> Result<Vec<Option<Record>>, sqlx::Error> {
        let owner = Uuid::now_v7();
        let sql = claim_batch_sql(args, owner);
        fits_packet(conn, &sql).await?;
        let rows = match fetch_all(conn, sql).await {
            Ok(rows) => rows,
            Err(error) => {
                if error.as_database_error().is_some() {
                    execute(conn, RESTORE_WAIT.into()).await?;
                }
                return Err(error);
            }
        };
        if rows.len() != args.claims.len() {
            return Err(verdict(ErrorClass::Conflict));
        }
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let namespace: Option<Vec<u8>> = row.try_get(4)?;
            if namespace.as_deref() != Some(args.home.namespace.as_bytes()) {
                return Err(verdict(ErrorClass::OtherNamespace));
            }
            let record = record(row)?;
            let is_new = record.state == State::Claimed
                && record.body.as_deref() == Some(owner.as_bytes().as_slice());
            found.push((!is_new).then_some(record));
        }
        Ok(found)
    }

    async fn abandon(
        conn: &mut MySqlConnection,
        lookup: Option<(&Home, &Claim<'_>)>,
    ) -> Result<Option<Record>, sqlx::Error> {
        let mut sql = format!("ROLLBACK; {RESTORE_AUTOCOMMIT}");
        let begun = Self::depth(conn, 0).await? > 0;
        if !begun {
            // The batch that opened did not reach its own end; a handler may have set the timeout
            // later on.
            let _ = write!(sql, "; {RESTORE_WAIT}");
        }
        if let Some((_, claim)) = lookup {
            sql.push_str("; ");
            lookup_sql(&mut sql, claim, false);
        }
        let row = fetch_last(conn, sql).await?;
        Transactions::start_rollback(conn);
        row.as_ref().map(record).transpose()
    }

    async fn lookup(
        conn: &mut MySqlConnection,
        _home: &Home,
        claim: &Claim<'_>,
        in_transaction: bool,
    ) -> Result<Option<Record>, sqlx::Error> {
        let mut sql = String::new();
        lookup_sql(&mut sql, claim, in_transaction);
        let row = fetch_last(conn, sql).await?;
        row.as_ref().map(record).transpose()
    }

    async fn drain(conn: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        execute(conn, "ROLLBACK".into()).await
    }

    async fn undo_effects(conn: &mut MySqlConnection, fence: &Fence) -> Result<(), sqlx::Error> {
        execute(conn, format!("ROLLBACK TO SAVEPOINT {}", fence.savepoint)).await
    }

    async fn finish(
        conn: &mut MySqlConnection,
        args: &FinishArgs<'_>,
        commit: Commit,
    ) -> Result<(), sqlx::Error> {
        let mut sql = format!("RELEASE SAVEPOINT {}", args.fence.savepoint);
        if !args.events.is_empty() {
            insert_events_sql(&mut sql, args.events);
        }
        end_claims_sql(&mut sql, args);
        if commit != Commit::Release {
            let _ = write!(sql, "; COMMIT; {RESTORE_AUTOCOMMIT}");
        }
        fits_packet(conn, &sql).await?;
        if commit == Commit::Release {
            return execute(conn, sql).await;
        }
        execute(conn, sql).await?;
        // Tells sqlx of the COMMIT that it did not send. The ROLLBACK that this queues goes out
        // with the connection's next statement, or when the pool takes it back, and ends nothing.
        Transactions::start_rollback(conn);
        Ok(())
    }

    fn classify(error: &sqlx::Error) -> ErrorClass {
        error_class::of(error)
    }

    fn is_conflict(error: &dyn DatabaseError) -> bool {
        error_class::is_conflict(error)
    }

    async fn schema_version(pool: &MySqlPool) -> Result<Option<u32>, sqlx::Error> {
        let mut conn = pool.acquire().await?;
        schema::schema_version(&mut conn).await
    }

    async fn missing_requirements(pool: &MySqlPool) -> Result<Vec<String>, sqlx::Error> {
        schema::missing_requirements(pool).await
    }

    async fn warnings(pool: &MySqlPool) -> Result<Vec<String>, sqlx::Error> {
        schema::warnings(pool).await
    }

    async fn migrate(pool: &MySqlPool) -> Result<(), sqlx::Error> {
        schema::migrate(pool).await
    }

    async fn renew_namespace(pool: &MySqlPool) -> Result<(), sqlx::Error> {
        schema::renew_namespace(pool).await
    }

    async fn purge(pool: &MySqlPool, limit: u32, keep: Keep) -> Result<Deleted, sqlx::Error> {
        // At READ COMMITTED a delete locks the rows that it finds and not the gaps between, where
        // handlers insert.
        let keys = format!(
            "{READ_COMMITTED}; \
             DELETE FROM idem_keys WHERE expires_at <= UTC_TIMESTAMP(6) ORDER BY expires_at LIMIT {limit}; COMMIT"
        );
        let attempts = format!(
            "{READ_COMMITTED}; \
             DELETE FROM idem_attempts WHERE touched_at <= UTC_TIMESTAMP(6) - INTERVAL {} MICROSECOND \
             ORDER BY touched_at LIMIT {limit}; COMMIT",
            keep.attempts.as_micros(),
        );
        let done = format!(
            "{READ_COMMITTED}; \
             DELETE FROM idem_inbox WHERE done_at <= UTC_TIMESTAMP(6) - INTERVAL {} MICROSECOND \
             ORDER BY done_at LIMIT {limit}; COMMIT",
            keep.done.as_micros(),
        );
        let mut conn = pool.acquire().await?;
        let keys = raw_sql(AssertSqlSafe(keys)).execute(&mut *conn).await?;
        let attempts = raw_sql(AssertSqlSafe(attempts)).execute(&mut *conn).await?;
        let done = raw_sql(AssertSqlSafe(done)).execute(&mut *conn).await?;
        Ok(Deleted {
            keys: keys.rows_affected(),
            attempts: attempts.rows_affected(),
            inbox: done.rows_affected(),
        })
    }
}

fn record(row: &MySqlRow) -> Result<Record, sqlx::Error> {
    Ok(Record {
        state: State::from_code(row.try_get(0)?),
        fingerprint: row.try_get(1)?,
        result_version: row.try_get(2)?,
        body: row.try_get(3)?,
    })
}

#[cfg(test)]
mod tests;
