use idem_tests::ui::*;

#[idempotent(key = "event.id")]
async fn apply(_: &mut PgConnection, event: &Payment) -> Result<Receipt, AppError> {
    Ok(Receipt { account: event.account })
}

fn main() {}
