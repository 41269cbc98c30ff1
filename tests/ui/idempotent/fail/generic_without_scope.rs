use idem_tests::ui::*;

#[idempotent(key = "event.id")]
async fn apply<T: Sync>(tx: &mut PgConnection, event: &Payment, extra: &T) -> Result<Receipt, AppError> {
    let _ = extra;
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(Receipt { account: event.account })
}

fn main() {}
