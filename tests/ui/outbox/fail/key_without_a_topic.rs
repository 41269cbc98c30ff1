use idem_tests::ui::*;

#[outbox(key = "event.account")]
async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<Settled, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(Settled { account: event.account })
}

fn main() {}
