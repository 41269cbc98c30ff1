use idem_tests::ui::*;

struct Ledger;

impl Ledger {
    #[idempotent(key = "event.id", scope = "ledger.apply", retry = 3)]
    async fn apply(self, tx: &mut PgConnection, event: &Payment) -> Result<Receipt, AppError> {
        sqlx::query("SELECT 1").execute(tx).await?;
        Ok(Receipt { account: event.account })
    }
}

fn main() {}
