use idem_tests::ui::*;

#[idempotent(key = "event.id")]
async fn apply<'a>(tx: &mut PgConnection, event: &'a Payment) -> Result<&'a str, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(event.batch.as_deref().unwrap_or_default())
}

fn main() {}
