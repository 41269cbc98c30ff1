use idem_tests::ui::*;

type ApplyResult = Option<Receipt>;

#[idempotent(key = "event.id")]
async fn apply(tx: &mut PgConnection, event: &Payment) -> ApplyResult {
    let _ = tx;
    Some(Receipt { account: event.account })
}

fn main() {}
