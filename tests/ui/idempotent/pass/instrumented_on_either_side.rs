#![deny(warnings)]
use idem_tests::ui::*;

#[tracing::instrument(skip(event), err)]
#[idempotent(key = "event.id")]
async fn outside(tx: &mut PgConnection, event: &Payment) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(Receipt {
        account: event.account,
    })
}

#[idempotent(key = "event.id")]
#[tracing::instrument(skip(event), err)]
async fn inside(tx: &mut PgConnection, event: &Payment) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(Receipt {
        account: event.account,
    })
}

fn assert_send(_: impl Send) {}

fn main() {
    let _ = |pool: PgPool, event: Payment| {
        assert_send(async move { (outside(&pool, &event).await, inside(&pool, &event).await) })
    };
}
