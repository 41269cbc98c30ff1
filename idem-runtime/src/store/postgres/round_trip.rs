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
