use idem_tests::ui::*;

#[idempotent(key = "event.id")]
async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<impl std::fmt::Display + use<>, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(event.account)
}

fn main() {}
