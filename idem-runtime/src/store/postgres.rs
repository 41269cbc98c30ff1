//! PostgreSQL, also behind PgBouncer in transaction pooling: no statement here is prepared, and no
//! setting outlives its transaction.
//!
//! A call of its own makes two round trips besides the handler's: BEGIN with the claim, and the end
//! with COMMIT. The first call on a pool makes one more, to learn where the tables are. The
//! arguments travel as literals, since only the simple protocol takes several statements at once.

mod call;
mod consumers;
mod dead_letters;
mod error_class;
mod home;
mod inbox;
mod leak_on_drop;
pub(crate) mod literal;
mod look;
mod outbox_store;
mod relays;
mod round_trip;
mod schema;
mod session;
mod settle;
mod stored_row;

use std::fmt::Write as _;
use std::num::ParseIntError;
use std::str::FromStr;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, PgPool, Postgres, Row as _, raw_sql};
use sqlx_core::sql_str::SqlSafeStr as _;
use sqlx_core::transaction::TransactionManager as _;

use self::call::{Transaction, claim_batch_sql, claim_sql, finish_sql, lookup_sql};
use self::home::foreign_if_aborted;
use self::leak_on_drop::LeakOnDrop;
use self::round_trip::{fetch_all, fetch_last};
use super::verdict::{fits, verdict};
use super::{
    BatchClaim, BeginArgs, Claim, Commit, Deleted, ErrorClass, Fence, FinishArgs, Home, Isolation,
    Keep, Record, State, Store,
};

/// The server reads a literal into a buffer that doubles, and that may have 1 GiB less a byte.
const LONGEST_STATEMENT: u64 = (1 << 29) - 1;

type Transactions = <Postgres as sqlx::Database>::TransactionManager;

impl Store for Postgres {
    const SYSTEM: &'static str = "postgresql";

    const MIGRATIONS: &'static [&'static str] =
        &[include_str!("../../migrations/postgres/0001_create.sql")];

    async fn find_home(conn: &mut PgConnection) -> Result<Home, sqlx::Error> {
        home::find(conn).await
    }

    async fn open(conn: &mut PgConnection, args: &BeginArgs<'_>) -> Result<(), sqlx::Error> {
        let mut sql = String::from("BEGIN");
        if let Some(level) = args.isolation {
            let _ = write!(sql, " ISOLATION LEVEL {}", level.name());
        }
        let _ = write!(sql, "; {}", claim_sql(args, Transaction::Own));
        let begun = Transactions::begin(conn, Some(AssertSqlSafe(sql).into_sql_str())).await;
        begun.map_err(foreign_if_aborted)
    }

    async fn nest(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        LeakOnDrop::new(Transactions::begin(conn, None)).await
    }

    async fn is_isolated(conn: &mut PgConnection, level: Isolation) -> Result<bool, sqlx::Error> {
        let row = fetch_last(conn, "SHOW transaction_isolation".into()).await?;
        let is: String = row.ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
        let is = match &*is {
            "serializable" => Some(Isolation::Serializable),
            "repeatable read" => Some(Isolation::RepeatableRead),
            _ => None,
        };
        Ok(is >= Some(level))
    }

    async fn join(conn: &mut PgConnection, args: &BeginArgs<'_>) -> Result<bool, sqlx::Error> {
        let sql = claim_sql(args, Transaction::Joined);
        let rows = fetch_all(conn, sql).await?;
        match (args.opening.claim(), rows.first()) {
            (Some(_), Some(row)) => row.try_get(0),
            _ => Ok(true),
        }
    }

    async fn claim_batch(
        conn: &mut PgConnection,
        args: &BatchClaim<'_>,
    ) -> Result<Vec<Option<Record>>, sqlx::Error> {
        let sql = claim_batch_sql(args);
        fits(sql.len(), LONGEST_STATEMENT)?;
        let rows = fetch_all(conn, sql).await?;
        let mut found: Vec<_> = args.claims.iter().map(|_| None).collect();
        // The first row is the answer of `idem_wait_at_most`.
        for row in rows.iter().skip(1) {
            let (place, known) = known(row)?;
            // A purge took the row between the two statements: the key is free again.
            let known = known.ok_or_else(|| verdict(ErrorClass::Conflict))?;
            if let Some(place) = found.get_mut(place) {
                *place = Some(known);
            }
        }
        Ok(found)
    }

    async fn abandon(
        conn: &mut PgConnection,
        lookup: Option<(&Home, &Claim<'_>)>,
    ) -> Result<Option<Record>, sqlx::Error> {
        if Self::depth(conn, 0).await? > 0 {
            Transactions::rollback(conn).await?;
            return Ok(None);
        }
        let mut sql = String::from("ROLLBACK");
        if let Some((home, claim)) = lookup {
            sql.push_str("; ");
            sql.push_str(&lookup_sql(home, claim));
        }
        let row = fetch_last(conn, sql).await?;
        row.as_ref().map_or(Ok(None), record)
    }

    async fn lookup(
        conn: &mut PgConnection,
        home: &Home,
        claim: &Claim<'_>,
        in_transaction: bool,
    ) -> Result<Option<Record>, sqlx::Error> {
        let row = match fetch_last(conn, lookup_sql(home, claim)).await {
            Err(error) if !in_transaction => return Err(foreign_if_aborted(error)),
            answer => answer?,
        };
        let Some(row) = row else {
            return Ok(None);
        };
        if !in_transaction && row.try_get(1)? {
            return Err(verdict(ErrorClass::ForeignTransaction));
        }
        record(&row)
    }

    async fn drain(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        fetch_last(conn, "ROLLBACK".into()).await.map(drop)
    }

    async fn undo_effects(conn: &mut PgConnection, fence: &Fence) -> Result<(), sqlx::Error> {
        let sql = format!("ROLLBACK TO SAVEPOINT {}", fence.savepoint);
        fetch_last(conn, sql).await.map(drop)
    }

    async fn finish(
        conn: &mut PgConnection,
        args: &FinishArgs<'_>,
        commit: Commit,
    ) -> Result<(), sqlx::Error> {
        let mut sql = String::new();
        if args.ends.is_empty() {
            // The fence of a call without a key: it fails outside of the transaction that set it.
            let _ = write!(sql, "RELEASE SAVEPOINT {}; ", args.fence.savepoint);
        }
        sql.push_str(&finish_sql(args));
        if commit == Commit::Pooled {
            // The chained transaction is empty. Its ROLLBACK is queued below and goes out when the
            // pool takes the connection back. That saves the round trip that would tell sqlx of a
            // COMMIT it did not send.
            sql.push_str("COMMIT AND CHAIN");
        }
        fits(sql.len(), LONGEST_STATEMENT)?;
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

    fn classify(error: &sqlx::Error) -> ErrorClass {
        error_class::of(error)
    }

    fn is_conflict(error: &dyn DatabaseError) -> bool {
        error_class::is_conflict(error)
    }

    async fn schema_version(pool: &PgPool) -> Result<Option<u32>, sqlx::Error> {
        let mut conn = pool.acquire().await?;
        schema::schema_version(&mut conn).await
    }

    async fn missing_requirements(pool: &PgPool) -> Result<Vec<String>, sqlx::Error> {
        schema::missing_requirements(pool).await
    }

    async fn warnings(pool: &PgPool) -> Result<Vec<String>, sqlx::Error> {
        schema::warnings(pool).await
    }

    async fn migrate(pool: &PgPool) -> Result<(), sqlx::Error> {
        schema::migrate(pool).await
    }

    async fn renew_namespace(pool: &PgPool) -> Result<(), sqlx::Error> {
        schema::renew_namespace(pool).await
    }

    async fn purge(pool: &PgPool, limit: u32, keep: Keep) -> Result<Deleted, sqlx::Error> {
        let keys = format!(
            "DELETE FROM idem_keys WHERE ctid = ANY (ARRAY(SELECT ctid FROM idem_keys \
             WHERE expires_at <= statement_timestamp() ORDER BY expires_at LIMIT {limit} FOR UPDATE SKIP LOCKED))"
        );
        let attempts = format!(
            "DELETE FROM idem_attempts WHERE ctid = ANY (ARRAY(SELECT ctid FROM idem_attempts \
             WHERE touched_at <= statement_timestamp() - {} * interval '1 millisecond' \
             ORDER BY touched_at LIMIT {limit} FOR UPDATE SKIP LOCKED))",
            keep.attempts.as_millis(),
        );
        let done = format!(
            "DELETE FROM idem_inbox WHERE ctid = ANY (ARRAY(SELECT ctid FROM idem_inbox \
             WHERE done_at <= statement_timestamp() - {} * interval '1 millisecond' \
             ORDER BY done_at LIMIT {limit} FOR UPDATE SKIP LOCKED))",
            keep.done.as_millis(),
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

/// Reads the answer of `idem_find`.
fn record(row: &PgRow) -> Result<Option<Record>, sqlx::Error> {
    row.try_get::<Option<&str>, _>(0)?.map(parsed).transpose()
}

/// Reads a row of `idem_claim_batch`: the place of the key, and what is known of it.
fn known(row: &PgRow) -> Result<(usize, Option<Record>), sqlx::Error> {
    let row: &str = row.try_get(0)?;
    let (place, record) = match row.split_once(' ') {
        Some((place, record)) => (place, Some(record)),
        None => (row, None),
    };
    let place: usize = number(place)?;
    Ok((place.saturating_sub(1), record.map(parsed).transpose()?))
}

fn parsed(record: &str) -> Result<Record, sqlx::Error> {
    let unhex = |hexed: &str| match hexed {
        "-" => Ok(None),
        hexed => hex::decode(hexed)
            .map(Some)
            .map_err(|error| sqlx::Error::Decode(error.into())),
    };
    let mut fields = record.split(' ');
    let mut field = || fields.next().unwrap_or_default();
    Ok(Record {
        state: State::from_code(number(field())?),
        result_version: number::<i32>(field())?.try_into().unwrap_or_default(),
        fingerprint: unhex(field())?,
        body: unhex(field())?,
    })
}

fn number<N: FromStr<Err = ParseIntError>>(field: &str) -> Result<N, sqlx::Error> {
    field
        .parse()
        .map_err(|error: ParseIntError| sqlx::Error::Decode(error.into()))
}

#[cfg(test)]
mod tests;
