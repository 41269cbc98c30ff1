#![deny(warnings)]
use idem_tests::ui::*;

#[idempotent(key = "event.id")]
async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<Receipt, AppError> {
    Ok(Receipt { account: event.account })
}

fn main() {
    let _ = |pool: PgPool, event: Payment| drop(async move { drop(apply(&pool, &event).await) });
}
