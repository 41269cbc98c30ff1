use idem_tests::ui::*;

#[idempotent(key = "event.id")]
async fn apply(tx: &mut PgConnection, event: &Payment, counter: std::rc::Rc<i64>) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(Receipt { account: event.account + *counter })
}

fn main() {
    let _ = |pool: PgPool, event: Payment| {
        tokio::spawn(async move { apply(&pool, &event, std::rc::Rc::new(1)).await.map(drop) });
    };
}
