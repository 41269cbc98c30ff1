//! Batches: several statements in one round trip, and what many of them begin or end with.

use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, Row as _, raw_sql};

use crate::store::verdict::fits;

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
    Ok(fetch_all(conn, sql).await?.pop())
}

/// Runs one batch in one round trip; all of its rows.
pub(super) async fn fetch_all(
    conn: &mut MySqlConnection,
    sql: String,
) -> Result<Vec<MySqlRow>, sqlx::Error> {
    raw_sql(AssertSqlSafe(sql)).fetch_all(conn).await
}

/// Shorter batches are sent without asking: every server takes them.
pub(super) const SURELY_FITS: usize = 256 * 1024;

/// A server closes the connection that sends it a packet of `max_allowed_packet` or more.
pub(super) async fn fits_packet(conn: &mut MySqlConnection, sql: &str) -> Result<(), sqlx::Error> {
    if sql.len() <= SURELY_FITS {
        return Ok(());
    }
    let limit = fetch_last(conn, "SELECT CAST(@@max_allowed_packet AS SIGNED)".into()).await?;
    let limit: i64 = limit.ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
    // With the command's byte.
    fits(sql.len() + 2, limit.unsigned_abs())
}
