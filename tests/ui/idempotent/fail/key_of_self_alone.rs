use idem_tests::ui::*;

struct Ledger {
    id: u64,
}

impl Ledger {
    #[idempotent(key = "self.id", scope = "ledger.apply")]
    async fn apply(&self, tx: &mut PgConnection, event: &Payment) -> Result<Receipt, AppError> {
        sqlx::query("SELECT 1").execute(tx).await?;
        Ok(Receipt { account: event.account })
    }
}

fn main() {}
