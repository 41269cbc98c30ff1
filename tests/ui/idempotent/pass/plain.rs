use idem_tests::ui::*;

#[idempotent(key = "event.id")]
async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<Receipt, AppError> {
    sqlx::query("UPDATE accounts SET balance = balance + $1 WHERE id = $2")
        .bind(event.cents)
        .bind(event.account)
        .execute(&mut *tx)
        .await?;
    Ok(Receipt {
        account: event.account,
    })
}

async fn from_a_pool(
    pool: PgPool,
    event: Payment,
) -> Result<Receipt, idem_runtime::Error<AppError>> {
    Ok(apply(&pool, &event).await?.into_inner())
}

async fn joined(pool: PgPool, event: Payment) -> Result<(), Box<dyn std::error::Error>> {
    let mut tx = pool.begin().await?;
    match apply(&mut tx, &event).await? {
        Outcome::Executed(receipt) | Outcome::Replayed(receipt) => drop(receipt),
    }
    tx.commit().await?;
    Ok(())
}

fn assert_send(_: impl Send) {}

fn main() {
    let _ = |pool: PgPool, event: Payment| assert_send(from_a_pool(pool, event));
    let _ = |pool: PgPool, event: Payment| drop(joined(pool, event));
}
