use idem_tests::ui::*;

#[idempotent(key = "event.id", handler = Apply)]
async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<Receipt, AppError> {
    let counter = std::rc::Rc::new(1);
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(Receipt { account: event.account + *counter })
}

fn main() {}
