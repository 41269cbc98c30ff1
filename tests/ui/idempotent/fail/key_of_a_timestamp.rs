use idem_tests::ui::*;

struct Timed {
    at: std::time::SystemTime,
}

#[idempotent(key = "event.at")]
async fn apply(tx: &mut PgConnection, event: &Timed) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(Receipt { account: 1 })
}

fn main() {}
