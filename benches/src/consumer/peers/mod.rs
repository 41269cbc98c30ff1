//! Job queues in PostgreSQL, each filled beforehand, with as many handlers at once.
//!
//! The effect is the same UPDATE. A peer's clock starts when its first handler does, so its first
//! look for work is not counted. What each leaves out stands in the table.

mod apalis;
mod awa;
mod sqlxmq;

use anyhow::Result;
use sqlx08::PgPool;

use super::Arm;
use crate::postgres::statements::{ACCOUNTS, EFFECT};

/// The arms on three empty databases.
pub(super) async fn arms([awa, sqlxmq, apalis]: [&str; 3]) -> Result<Vec<Arm>> {
    let mut arms = vec![
        self::sqlxmq::arm(sqlxmq).await?,
        self::apalis::arm(apalis).await?,
    ];
    arms.extend(self::awa::arms(awa).await?);
    Ok(arms)
}

/// A pool of the sqlx that two of them are built on, in a database with the accounts.
async fn connect(url: &str, connections: u32) -> Result<PgPool> {
    let pool = sqlx08::postgres::PgPoolOptions::new()
        .min_connections(connections)
        .max_connections(connections)
        .test_before_acquire(false)
        .connect(url)
        .await?;
    sqlx08::raw_sql(ACCOUNTS).execute(&pool).await?;
    Ok(pool)
}
