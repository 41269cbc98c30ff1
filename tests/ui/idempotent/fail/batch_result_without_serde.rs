use idem_tests::ui::*;

struct Balance(i64);

#[idempotent(key = "event.id", batch = "event in events")]
async fn apply_all(tx: &mut PgConnection, events: &[&Payment]) -> Result<Vec<Balance>, AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    Ok(events.iter().map(|event| Balance(event.account)).collect())
}

fn main() {}
