use idem_tests::ui::*;

struct Ledger;

#[idempotent(key = "event.id")]
impl Ledger {
    async fn apply(&self, _tx: &mut PgConnection) {}
}

fn main() {}
