use idem_tests::ui::*;

#[derive(Serialize)]
struct Plain {
    account: i64,
}

#[outbox]
async fn apply(tx: &mut PgConnection, outbox: &mut Outbox<Plain>, event: &Payment) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    outbox.emit(&Plain { account: event.account });
    Ok(Receipt { account: event.account })
}

fn main() {}
