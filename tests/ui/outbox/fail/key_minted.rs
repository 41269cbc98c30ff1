use idem_tests::ui::*;

#[outbox(topic = "payments.settled", key = "Uuid::new_v4()")]
async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<Settled, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(Settled { account: event.account })
}

fn main() {}
