use idem_tests::ui::*;

#[outbox]
async fn apply(outbox: &mut Outbox<Settled>, event: &Payment) -> Result<Receipt, AppError> {
    outbox.emit(&Settled { account: event.account });
    Ok(Receipt { account: event.account })
}

fn main() {}
