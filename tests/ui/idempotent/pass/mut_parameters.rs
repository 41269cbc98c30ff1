#![deny(warnings)]
use idem_tests::ui::*;

#[idempotent(key = "event.id")]
async fn apply(
    mut tx: &mut PgConnection,
    mut event: Payment,
    (mut left, right): (i64, i64),
) -> Result<Receipt, AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    let reborrowed = &mut tx;
    sqlx::query("SELECT 1").execute(&mut **reborrowed).await?;
    left += right;
    event.account += left;
    Ok(Receipt {
        account: event.account,
    })
}

#[idempotent(key = "event.id", retry = 1)]
async fn retried(
    mut tx: &mut PgConnection,
    mut event: Payment,
    (left, right): (i64, i64),
) -> Result<Receipt, AppError> {
    let reborrowed = &mut tx;
    sqlx::query("SELECT 1").execute(&mut **reborrowed).await?;
    event.account += left + right;
    let moved = event;
    Ok(Receipt {
        account: moved.account,
    })
}

fn main() {
    let _ = |pool: PgPool, event: Payment| {
        drop(async move {
            (
                apply(&pool, event.clone(), (1, 2)).await,
                retried(&pool, event, (1, 2)).await,
            )
        })
    };
}
