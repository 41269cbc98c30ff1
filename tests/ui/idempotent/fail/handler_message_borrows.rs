use idem_tests::ui::*;

#[idempotent(key = "event.0", handler = Apply)]
async fn apply(tx: &mut PgConnection, event: &(&'static str, std::borrow::Cow<'_, str>)) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(Receipt { account: 0 })
}

fn main() {}
