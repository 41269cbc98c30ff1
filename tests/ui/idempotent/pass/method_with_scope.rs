#![deny(warnings)]
use idem_tests::ui::*;

struct Ledger {
    fee: i64,
}

impl Ledger {
    #[idempotent(key = "event.id", scope = "ledger.post")]
    async fn post(&self, tx: &mut PgConnection, event: &Payment) -> Result<Receipt, AppError> {
        let account = event.account + self.fee;
        sqlx::query("SELECT 1").execute(tx).await?;
        Ok(Receipt { account })
    }

    #[idempotent(key = "event.id", scope = "ledger.consume")]
    async fn consume(self, tx: &mut PgConnection, event: Payment) -> Result<i64, AppError> {
        sqlx::query("SELECT 1").execute(&mut *tx).await?;
        Ok(event.account + self.fee)
    }
}

async fn call(
    pool: PgPool,
    ledger: Ledger,
    event: Payment,
) -> Result<i64, idem_runtime::Error<AppError>> {
    let receipt = ledger.post(&pool, &event).await?.into_inner();
    Ok(receipt.account + ledger.consume(&pool, event).await?.into_inner())
}

fn assert_send(_: impl Send) {}

fn main() {
    let _ = |pool, ledger, event| assert_send(call(pool, ledger, event));
}
