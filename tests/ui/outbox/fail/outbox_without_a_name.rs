use idem_tests::ui::*;

#[outbox]
async fn apply(tx: &mut PgConnection, _: &mut Outbox<Settled>, event: &Payment) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(Receipt { account: event.account })
}

fn main() {}
