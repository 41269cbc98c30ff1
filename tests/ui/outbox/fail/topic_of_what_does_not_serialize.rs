use idem_tests::ui::*;

struct Plain(i64);

#[outbox(topic = "payments.settled")]
async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<Plain, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(Plain(event.account))
}

fn main() {}
