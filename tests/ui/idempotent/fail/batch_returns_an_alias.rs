use idem_tests::ui::*;

type ReceiptsResult = Result<Vec<Receipt>, AppError>;

#[idempotent(key = "event.id", batch = "event in events")]
async fn apply_all(tx: &mut PgConnection, events: &[&Payment]) -> ReceiptsResult {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    Ok(events.iter().map(|event| Receipt { account: event.account }).collect())
}

fn main() {}
