use idem_tests::ui::*;

#[idempotent(key = "event.id", batch = "event in events")]
async fn apply_all(tx: &mut PgConnection, events: &[&Payment]) -> Result<[Receipt; 1], AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    Ok([Receipt { account: events[0].account }])
}

fn main() {}
