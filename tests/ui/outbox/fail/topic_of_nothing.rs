use idem_tests::ui::*;

#[outbox(topic = "payments.settled")]
async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<(), AppError> {
    let _ = event;
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(())
}

fn main() {}
