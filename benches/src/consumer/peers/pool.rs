//! The sqlx that two of the peers are built on.

use anyhow::Result;
use sqlx08::PgPool;

use crate::postgres::statements::ACCOUNTS;

/// A pool of a database with the accounts.
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
