use idem_tests::ui::*;

#[idempotent(key = "event.id", batch = "event in events")]
async fn apply_all(tx: &mut PgConnection, events: &[&Payment]) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    Ok(Receipt { account: events.len() as i64 })
}

fn main() {}
