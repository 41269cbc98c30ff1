use idem_tests::ui::*;

#[derive(Clone)]
struct OrderId(u64);

struct Order {
    id: OrderId,
}

#[idempotent(key = "event.id")]
async fn apply(tx: &mut PgConnection, event: &Order) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(Receipt { account: 1 })
}

fn main() {}
