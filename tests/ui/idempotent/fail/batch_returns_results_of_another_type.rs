use idem_tests::ui::*;

#[idempotent(key = "event.id", batch = "event in events")]
async fn apply_all(tx: &mut PgConnection, events: &[&Payment]) -> Result<Vec<Receipt>, AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    Ok(events.iter().map(|event| event.account).collect::<Vec<_>>())
}

fn main() {}
