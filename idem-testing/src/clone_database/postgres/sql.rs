//! Batches of SQL as text, and what comes back.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _, ValueRef as _, raw_sql};

use crate::clone_database::results;

/// The rows of each statement of a batch.
pub(super) async fn batch(
    conn: &mut PgConnection,
    sql: String,
) -> Result<Vec<Vec<PgRow>>, sqlx::Error> {
    results(raw_sql(AssertSqlSafe(sql)).fetch_many(conn)).await
}

/// The first column of each row.
pub(super) async fn strings(
    conn: &mut PgConnection,
    sql: String,
) -> Result<Vec<String>, sqlx::Error> {
    let rows = raw_sql(AssertSqlSafe(sql)).fetch_all(conn).await?;
    let strings = rows.iter().map(|row| string(row, 0));
    strings
        .map(|one| one.map(Option::unwrap_or_default))
        .collect()
}

/// A value as the server wrote it, whatever its type: rows of several statements at once come as
/// text.
pub(super) fn string(row: &PgRow, place: usize) -> Result<Option<String>, sqlx::Error> {
    let value = row.try_get_raw(place)?;
    if value.is_null() {
        return Ok(None);
    }
    let text = value.as_str().map_err(sqlx::Error::Decode)?;
    Ok(Some(text.to_owned()))
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
