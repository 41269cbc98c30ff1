use idem_tests::ui::*;
use std::cell::Cell;

#[idempotent(key = "event.id", handler = Apply)]
async fn apply(tx: &mut PgConnection, event: &Payment, count: &Cell<u32>) -> Result<Receipt, AppError> {
    count.set(count.get() + 1);
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(Receipt { account: event.account })
}

fn main() {}
