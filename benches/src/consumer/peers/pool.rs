//! How two of the peers connect.

use anyhow::Result;
use sqlx08::PgPool;

use crate::postgres::statements::ACCOUNTS;

/// A pool of the sqlx that two of them are built on, in a database with the accounts.
pub(super) async fn connect(url: &str, connections: u32) -> Result<PgPool> {
    let pool = sqlx08::postgres::PgPoolOptions::new()
        .min_connections(connections)
        .max_connections(connections)
        .test_before_acquire(false)
        .connect(url)
        .await?;
    sqlx08::raw_sql(ACCOUNTS).execute(&pool).await?;
    Ok(pool)
}
