//! Batches: several statements in one round trip.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, raw_sql};

/// Runs one batch in one round trip; all of its rows.
pub(super) async fn fetch_all(
    conn: &mut PgConnection,
    sql: String,
) -> Result<Vec<PgRow>, sqlx::Error> {
    raw_sql(AssertSqlSafe(sql)).fetch_all(conn).await
}

/// Runs one batch in one round trip; the last row of it.
pub(super) async fn fetch_last(
    conn: &mut PgConnection,
    sql: String,
) -> Result<Option<PgRow>, sqlx::Error> {
    Ok(fetch_all(conn, sql).await?.pop())
}

/// What a relay's statements begin with, for one transaction.
///
/// The outbox is all dead rows or all new ones, and seldom analysed, so no plan may depend on what
/// the server thinks of it. What a relay reads is in nobody's way, whatever isolation is the
/// default, and comes in UTF-8, whatever a handler set for its session.
pub(super) const BY_INDEX: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL client_encoding = 'UTF8'; \
    SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL max_parallel_workers_per_gather = 0; \
    SET LOCAL jit = off; ";
