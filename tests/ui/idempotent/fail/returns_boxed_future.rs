use idem_tests::ui::*;

#[idempotent(key = "event.id")]
fn apply<'a>(tx: &'a mut PgConnection, event: &'a Payment) -> std::pin::Pin<Box<dyn Future<Output = Result<Receipt, AppError>> + 'a>> {
    Box::pin(async move {
        sqlx::query("SELECT 1").execute(tx).await?;
        Ok(Receipt { account: event.account })
    })
}

fn main() {}
