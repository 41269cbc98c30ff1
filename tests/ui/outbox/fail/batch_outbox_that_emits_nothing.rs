#![deny(unused_must_use)]
#![allow(dead_code)]
use idem_tests::ui::*;

#[idempotent(key = "event.id", batch = "event in events")]
#[outbox]
async fn apply_all(tx: &mut PgConnection, outbox: &mut BatchOutbox<Settled>, events: &[&Payment]) -> Result<Vec<Receipt>, AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    outbox.of(0);
    Ok(events.iter().map(|event| Receipt { account: event.account }).collect())
}

fn main() {}
