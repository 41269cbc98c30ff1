use idem_tests::ui::*;

#[idempotent(key = "event.id")]
async fn apply(tx: &mut PgConnection, event: &Payment) -> Option<Receipt> {
    let _ = tx;
    Some(Receipt { account: event.account })
}

fn main() {}
