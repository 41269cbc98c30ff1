use idem_tests::ui::*;

#[idempotent(key = "event.id")]
async fn apply(event: &Payment) -> Result<Receipt, AppError> {
    Ok(Receipt { account: event.account })
}

fn main() {}
