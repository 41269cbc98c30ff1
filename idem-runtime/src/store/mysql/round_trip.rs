//! Batches: several statements in one round trip, and what many of them begin or end with.

use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, raw_sql};

/// In a session whose autocommit is off a SELECT begins a transaction, too.
pub(super) const END_READ: &str = "; COMMIT";

/// For the next transaction alone.
pub(super) const READ_COMMITTED: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED";

pub(super) async fn execute(conn: &mut MySqlConnection, sql: String) -> Result<(), sqlx::Error> {
    raw_sql(AssertSqlSafe(sql)).execute(conn).await.map(drop)
}

/// Runs one batch in one round trip; the last row of it.
pub(super) async fn fetch_last(
    conn: &mut MySqlConnection,
    sql: String,
) -> Result<Option<MySqlRow>, sqlx::Error> {
    Ok(raw_sql(AssertSqlSafe(sql)).fetch_all(conn).await?.pop())
}
