use idem_tests::ui::*;

#[idempotent(key = "event.id")]
async fn apply(tx: &Transaction<'_, Postgres>, event: &Payment) -> Result<Receipt, AppError> {
    let _ = tx;
    Ok(Receipt { account: event.account })
}

fn main() {}
