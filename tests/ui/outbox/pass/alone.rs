#![deny(warnings)]
use idem_tests::ui::*;

#[outbox]
async fn settle(
    tx: &mut PgConnection,
    outbox: &mut Outbox<Settled>,
    event: &Payment,
) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    outbox.emit(&Settled {
        account: event.account,
    });
    Ok(Receipt {
        account: event.account,
    })
}

#[outbox(
    topic = "payments.settled",
    key = "event.account",
    scope = "payments.publish"
)]
async fn publish(tx: &mut PgConnection, event: Payment) -> Result<Settled, AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    Ok(Settled {
        account: event.account,
    })
}

async fn call(pool: PgPool, event: Payment) -> Result<Receipt, idem_runtime::Error<AppError>> {
    let mut tx = pool.begin().await.map_err(idem_runtime::Error::Store)?;
    let Settled { .. } = publish(&mut tx, event.clone()).await?;
    settle(&pool, &event).await
}

fn assert_send(_: impl Send) {}

fn main() {
    let _ = |pool, event| assert_send(call(pool, event));
}
