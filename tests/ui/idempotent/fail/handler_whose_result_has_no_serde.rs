use idem_tests::ui::*;

struct Balance(i64);

#[idempotent(key = "event.id", handler = Apply)]
async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<Balance, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(Balance(event.account))
}

fn main() {}
