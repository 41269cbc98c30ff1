//! A transaction of the relay: all of it, or none.

use sqlx::sqlite::SqliteConnection;
use sqlx_core::sql_str::SqlSafeStr as _;
use sqlx_core::transaction::TransactionManager as _;

use super::Transactions;

pub(super) async fn begin(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    Transactions::begin(conn, Some("BEGIN IMMEDIATE".into_sql_str())).await
}

/// Commits what was done, or rolls it back.
pub(super) async fn end<T>(
    conn: &mut SqliteConnection,
    done: Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    let done = match done {
        Ok(done) => Transactions::commit(conn).await.map(|()| done),
        Err(error) => Err(error),
    };
    if done.is_err() {
        // A COMMIT that found a reader in its way leaves the transaction open.
        Transactions::rollback(conn).await?;
    }
    done
}
