//! Batches: several statements in one call of the driver.

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, raw_sql};

use super::error_class::is_generic;
use super::schema::is_migrated;
use crate::store::ErrorClass;
use crate::store::verdict::verdict;

pub(super) async fn execute(conn: &mut SqliteConnection, sql: String) -> Result<(), sqlx::Error> {
    fetch_all(conn, sql).await.map(drop)
}

pub(super) async fn fetch_last(
    conn: &mut SqliteConnection,
    sql: String,
) -> Result<Option<SqliteRow>, sqlx::Error> {
    Ok(fetch_all(conn, sql).await?.pop())
}

/// Runs one batch, and tells missing tables from every other error that has no code of its own.
pub(super) async fn fetch_all(
    conn: &mut SqliteConnection,
    sql: String,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    match raw_sql(AssertSqlSafe(sql)).fetch_all(&mut *conn).await {
        Err(error) if is_generic(&error) && !is_migrated(conn).await? => {
            Err(verdict(ErrorClass::NotMigrated))
        }
        result => result,
    }
}
