use idem_tests::ui::*;

trait Ledger {
    #[idempotent(key = "event.id", scope = "ledger.apply")]
    async fn apply(&self, tx: &mut PgConnection, event: &Payment) -> Result<Receipt, AppError>;
}

fn main() {}
