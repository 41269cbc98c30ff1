use idem_tests::ui::*;

#[idempotent(key = "event.id", batch = "event in events")]
async fn apply_all(tx: &mut PgConnection, events: &[&Payment], seen: &mut Vec<&Payment>) -> Result<Vec<Receipt>, AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    seen.extend(events);
    Ok(events.iter().map(|event| Receipt { account: event.account }).collect())
}

fn main() {}
