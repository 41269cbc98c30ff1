use idem_tests::ui::*;

#[idempotent(key = "event.id")]
fn apply(tx: &mut PgConnection, event: &Payment) -> impl Future<Output = Result<Receipt, AppError>> {
    async move {
        sqlx::query("SELECT 1").execute(tx).await?;
        Ok(Receipt { account: event.account })
    }
}

fn main() {}
