use idem_tests::ui::*;

#[idempotent(key = "event.id", batch = "event in _events")]
async fn apply_all(tx: &mut PgConnection, _events: &[&Payment]) -> Result<(), AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    Ok(())
}

fn main() {}
