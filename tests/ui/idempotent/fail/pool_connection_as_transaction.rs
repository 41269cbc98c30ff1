use idem_tests::ui::*;

#[idempotent(key = "event.id")]
async fn apply(tx: &mut sqlx::pool::PoolConnection<Postgres>, event: &Payment) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(&mut **tx).await?;
    Ok(Receipt { account: event.account })
}

fn main() {}
