#![deny(warnings)]
use idem_tests::ui::*;

#[idempotent(key = "event.id")]
async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(Receipt { account: event.account })
}

async fn call(pool: PgPool, event: Payment) -> Result<(), idem_runtime::Error<AppError>> {
    apply(&pool, &event).await?;
    Ok(())
}

fn main() {
    let _ = call;
}
