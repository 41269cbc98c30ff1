use idem_tests::ui::*;

#[idempotent(key = "event.id")]
async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(Receipt { account: event.account })
}

async fn call(transaction: Transaction<'_, Postgres>, event: Payment) {
    let _ = apply(transaction, &event);
}

fn main() {
    let _ = call;
}
