use idem_tests::ui::*;

#[outbox]
fn apply(tx: &mut PgConnection, outbox: &mut Outbox<Settled>, event: &Payment) -> Result<Receipt, AppError> {
    let _ = tx;
    outbox.emit(&Settled { account: event.account });
    Ok(Receipt { account: event.account })
}

fn main() {}
