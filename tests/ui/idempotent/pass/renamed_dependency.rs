#![deny(warnings)]

mod reexports {
    pub use idem_runtime as idem;
}

use idem_tests::ui::{AppError, Deserialize, Payment, PgConnection, Serialize};
use reexports::idem::{Event, Key, Outbox, idempotent, outbox};

#[derive(Serialize, Deserialize, Event)]
#[event(topic = "payments.settled", crate = "crate::reexports::idem")]
struct Settled {
    account: i64,
}

#[derive(Key)]
#[key(crate = "crate::reexports::idem")]
struct PaymentId(i64);

#[idempotent(key = "PaymentId(event.account)", crate = "crate::reexports::idem")]
async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<i64, AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    Ok(event.account)
}

#[outbox(crate = crate::reexports::idem)]
#[idempotent(key = "event.id")]
async fn settle(
    tx: &mut PgConnection,
    outbox: &mut Outbox<Settled>,
    event: &Payment,
) -> Result<i64, AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    outbox.emit(&Settled {
        account: event.account,
    });
    Ok(event.account)
}

fn main() {
    let _ = |pool: sqlx::PgPool, event: Payment| {
        drop(async move { (apply(&pool, &event).await, settle(&pool, &event).await) })
    };
}
