use idem_tests::ui::*;

#[idempotent(key = "event.id")]
#[outbox]
async fn apply_all(tx: &mut PgConnection, outbox: &mut BatchOutbox<Settled>, event: &Payment) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    outbox.of(0).emit(&Settled { account: event.account });
    Ok(Receipt { account: event.account })
}

fn main() {}
