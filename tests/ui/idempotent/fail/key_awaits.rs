use idem_tests::ui::*;

async fn lookup(event: &Payment) -> Uuid {
    event.id
}

#[idempotent(key = "lookup(event).await")]
async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(Receipt { account: event.account })
}

fn main() {}
