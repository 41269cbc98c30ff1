use idem_tests::ui::*;

struct Ticket;

#[idempotent(key = "event.id", retry = 3)]
async fn apply(tx: &mut PgConnection, event: &Payment, ticket: Ticket) -> Result<Receipt, AppError> {
    drop(ticket);
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(Receipt { account: event.account })
}

fn main() {}
