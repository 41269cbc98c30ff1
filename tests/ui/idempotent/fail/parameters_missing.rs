use idem_tests::ui::*;

#[idempotent(key = "event.id")]
async fn apply() -> Result<Receipt, AppError> {
    Ok(Receipt { account: 1 })
}

fn main() {}
