use idem_tests::ui::*;

#[idempotent(key = "tenant.id", batch = "tenant in events")]
async fn apply_all(tx: &mut PgConnection, events: &[&Payment], tenant: &str) -> Result<Vec<Receipt>, AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    Ok(events.iter().map(|event| Receipt { account: event.account }).collect())
}

fn main() {}
