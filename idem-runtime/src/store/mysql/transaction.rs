//! Batches that open or end a transaction, as each statement does in a session whose autocommit is
//! off.

use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, raw_sql};

use super::round_trip::execute;

/// What a transaction of several statements begins with.
pub(super) const BEGIN: &str =
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION; ";

/// Runs a batch; all of its rows. If the server refuses, the transaction is rolled back.
pub(super) async fn run(
    conn: &mut MySqlConnection,
    sql: String,
) -> Result<Vec<MySqlRow>, sqlx::Error> {
    match raw_sql(AssertSqlSafe(sql)).fetch_all(&mut *conn).await {
        Err(error) if error.as_database_error().is_some() => {
            // A connection that can't roll back is broken. Otherwise the first error is reported.
            execute(conn, "ROLLBACK".into())
                .await
                .map_err(|_| sqlx::Error::WorkerCrashed)?;
            Err(error)
        }
        result => result,
    }
}
