use idem_tests::ui::*;

#[idempotent(key = "event.id")]
async fn apply(tx: &mut Vec<Payment>, event: &Payment) -> Result<Receipt, AppError> {
    tx.push(event.clone());
    Ok(Receipt { account: event.account })
}

fn main() {}
