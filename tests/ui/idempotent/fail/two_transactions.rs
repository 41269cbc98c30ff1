use idem_tests::ui::*;

#[idempotent(key = "event.id")]
async fn apply(tx: &mut PgConnection, event: &Payment, other: &mut PgConnection) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(other).await?;
    Ok(Receipt { account: event.account })
}

fn main() {}
