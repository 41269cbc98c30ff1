#![deny(warnings)]
use idem_tests::ui::*;

#[idempotent(key = "event.id")]
#[outbox]
async fn first(
    tx: &mut PgConnection,
    outbox: &mut Outbox<Settled>,
    event: &Payment,
) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    let _id = outbox.emit(&Settled {
        account: event.account,
    });
    Ok(Receipt {
        account: event.account,
    })
}

#[idem_runtime::outbox]
#[idem_runtime::idempotent(key = "event.id")]
async fn second(
    tx: &mut PgConnection,
    outbox: &mut Outbox<(Settled, Refunded)>,
    event: &Payment,
) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    outbox.emit(&Settled {
        account: event.account,
    });
    outbox.emit(&Refunded {
        account: event.account,
    });
    Ok(Receipt {
        account: event.account,
    })
}

fn assert_send(_: impl Send) {}

fn main() {
    let _ = |pool: PgPool, event: Payment| {
        assert_send(async move { (first(&pool, &event).await, second(&pool, &event).await) })
    };
}
