use idem_tests::ui::*;

#[idempotent(key = "event.id")]
async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<Receipt, impl std::error::Error> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok::<_, sqlx::Error>(Receipt { account: event.account })
}

fn main() {}
