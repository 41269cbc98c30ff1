use idem_tests::ui::*;

struct Ledger;

impl Ledger {
    #[idempotent(key = "event.id")]
    async fn apply(tx: &mut PgConnection, event: &Payment, ledger: &Self) -> Result<Receipt, AppError> {
        let Self = ledger;
        sqlx::query("SELECT 1").execute(tx).await?;
        Ok(Receipt { account: event.account })
    }
}

fn main() {}
