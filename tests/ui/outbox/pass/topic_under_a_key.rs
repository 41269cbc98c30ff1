#![deny(warnings)]
use idem_tests::ui::*;

#[outbox(topic = "payments.settled", key = "(event.account, event.id)")]
#[idempotent(key = "event.id", retry = 3)]
async fn publish(tx: &mut PgConnection, event: &Payment) -> Result<Settled, AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    Ok(Settled {
        account: event.account,
    })
}

#[idempotent(key = "event.id")]
#[outbox(topic = "payments.settled")]
async fn unordered(tx: &mut PgConnection, event: &Payment) -> Result<Settled, AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    Ok(Settled {
        account: event.account,
    })
}

fn main() {
    let _ = |pool: PgPool, event: Payment| {
        drop(async move { (publish(&pool, &event).await, unordered(&pool, &event).await) })
    };
}
