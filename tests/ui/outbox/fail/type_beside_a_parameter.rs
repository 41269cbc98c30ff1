use idem_tests::ui::*;

#[outbox(type = "Settled")]
async fn apply(tx: &mut PgConnection, outbox: &mut Outbox<Settled>, event: &Payment) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    outbox.emit(&Settled { account: event.account });
    Ok(Receipt { account: event.account })
}

fn main() {}
