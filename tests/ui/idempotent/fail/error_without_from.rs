use idem_tests::ui::*;

#[derive(Debug)]
struct ParseError;

#[idempotent(key = "event.id")]
async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<Receipt, ParseError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(Receipt { account: event.account })
}

fn main() {}
