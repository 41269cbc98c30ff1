use idem_tests::ui::*;

#[idempotent(key = "event.id", handler = Apply)]
async fn apply(tx: &mut PgConnection, event: &Payment, fee: &i64, tax: &i64) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(Receipt { account: event.account + fee + tax })
}

fn main() {}
