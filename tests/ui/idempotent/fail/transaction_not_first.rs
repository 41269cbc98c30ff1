use idem_tests::ui::*;

#[idempotent(key = "event.id")]
async fn apply(event: &Payment, tx: &mut PgConnection) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(Receipt { account: event.account })
}

fn main() {}
