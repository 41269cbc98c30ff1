//! Batches: several statements in one round trip.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, raw_sql};

/// Runs one batch in one round trip; the last row of it.
pub(super) async fn fetch_last(
    conn: &mut PgConnection,
    sql: String,
) -> Result<Option<PgRow>, sqlx::Error> {
    Ok(raw_sql(AssertSqlSafe(sql)).fetch_all(conn).await?.pop())
}
