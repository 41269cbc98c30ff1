//! Job queues in PostgreSQL, each filled beforehand, with as many handlers at once.
//!
//! The effect is the same UPDATE. A peer's clock starts when its first handler does, so its first
//! look for work is not counted. What each leaves out stands in the table.

mod apalis;
mod awa;
mod pool;
mod sqlxmq;

use super::arm::Arm;
use anyhow::Result;

/// The arms on three empty databases.
pub(super) async fn arms([awa, sqlxmq, apalis]: [&str; 3]) -> Result<Vec<Arm>> {
    let mut arms = vec![
        self::sqlxmq::arm(sqlxmq).await?,
        self::apalis::arm(apalis).await?,
    ];
    arms.extend(self::awa::arms(awa).await?);
    Ok(arms)
}
