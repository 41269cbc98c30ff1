use idem_tests::ui::*;

#[idempotent(key = "event.id", retention = "30", retries = 3, handler = Apply)]
async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(Receipt { account: event.account })
}

// Callers get no errors of their own.
async fn call(pool: PgPool, event: Payment) -> Result<i64, idem_runtime::Error<AppError>> {
    use idem_runtime::Handler as _;
    let _ = Apply::SCOPE;
    Ok(apply(&pool, &event).await?.into_inner().account)
}

fn main() {
    let _ = call;
}
