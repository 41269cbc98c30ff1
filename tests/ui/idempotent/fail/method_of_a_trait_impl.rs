use idem_tests::ui::*;

struct Ledger;

#[allow(async_fn_in_trait)]
trait Apply {
    async fn apply(&self, tx: &mut PgConnection, event: &Payment) -> Result<Receipt, AppError>;
}

impl Apply for Ledger {
    #[idempotent(key = "event.id", scope = "ledger.apply")]
    async fn apply(&self, tx: &mut PgConnection, event: &Payment) -> Result<Receipt, AppError> {
        sqlx::query("SELECT 1").execute(tx).await?;
        Ok(Receipt { account: event.account })
    }
}

fn main() {}
