use idem_tests::ui::*;

#[idempotent(key = "event.id")]
fn apply(tx: &mut PgConnection, event: &Payment) -> Result<Receipt, AppError> {
    let _ = tx;
    Ok(Receipt { account: event.account })
}

fn main() {}
