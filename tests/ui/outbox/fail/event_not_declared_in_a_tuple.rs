use idem_tests::ui::*;

#[derive(Serialize, Event)]
#[event(topic = "payments.voided")]
struct Voided {
    account: i64,
}

#[outbox]
async fn apply(tx: &mut PgConnection, outbox: &mut Outbox<(Settled, Refunded)>, event: &Payment) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    outbox.emit(&Voided { account: event.account });
    Ok(Receipt { account: event.account })
}

fn main() {}
