use idem_tests::ui::*;

#[idempotent(key = "event.id")]
async fn apply(pool: &PgPool, event: &Payment) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(pool).await?;
    Ok(Receipt { account: event.account })
}

fn main() {}
