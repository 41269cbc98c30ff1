//! Batches of SQL as text, and what comes back.

use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, MySqlPool, Row as _, raw_sql};

use crate::clone_database::results;
use crate::setup_error::SetupError;

/// What our databases are named by, after the name of the user's: grants are by such patterns.
pub(super) const INFIX: &str = "_idem_copy_";

pub(super) async fn drop_database(admin: &MySqlPool, name: &str) -> Result<(), SetupError> {
    let dropped = execute(admin, format!("DROP DATABASE IF EXISTS {}", quoted(name))).await;
    dropped.map_err(SetupError::sql(format!(
        "the copy `{name}` can't be dropped"
    )))
}

pub(super) async fn execute(admin: &MySqlPool, sql: String) -> Result<(), sqlx::Error> {
    let mut conn = admin.acquire().await?;
    raw_sql(AssertSqlSafe(sql))
        .execute(&mut *conn)
        .await
        .map(drop)
}

/// The rows of each statement of a batch.
pub(super) async fn batch(
    admin: &MySqlPool,
    sql: String,
) -> Result<Vec<Vec<MySqlRow>>, sqlx::Error> {
    let mut conn = admin.acquire().await?;
    results(raw_sql(AssertSqlSafe(sql)).fetch_many(&mut *conn)).await
}

pub(super) async fn rows(admin: &MySqlPool, sql: String) -> Result<Vec<MySqlRow>, sqlx::Error> {
    let mut conn = admin.acquire().await?;
    raw_sql(AssertSqlSafe(sql)).fetch_all(&mut *conn).await
}

/// A value as text, whatever its type says.
pub(super) fn string(row: &MySqlRow, place: usize) -> Result<Option<String>, sqlx::Error> {
    let bytes: Option<Vec<u8>> = row.try_get_unchecked(place)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

pub(super) fn required(row: &MySqlRow, place: usize) -> Result<String, sqlx::Error> {
    string(row, place).map(Option::unwrap_or_default)
}

pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
