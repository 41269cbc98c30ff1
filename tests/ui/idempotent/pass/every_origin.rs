#![deny(warnings)]
use idem_tests::ui::*;
use sqlx::Connection;
use sqlx::pool::PoolConnection;

#[idempotent(key = "event.id")]
async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<i64, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(event.account)
}

// A handler may call another in its own transaction.
#[idempotent(key = "event.id")]
async fn outer(tx: &mut PgConnection, event: &Payment) -> Result<i64, anyhow::Error> {
    let first = apply(&mut *tx, event).await?.into_inner();
    let second = apply(tx, event).await?.into_inner();
    Ok(first + second)
}

async fn call(pool: PgPool, event: Payment) -> anyhow::Result<()> {
    let _ = apply(&pool, &event).await?;
    let mut connection: PoolConnection<Postgres> = pool.acquire().await?;
    let _ = apply(&mut connection, &event).await?;
    let mut transaction: Transaction<'_, Postgres> = connection.begin().await?;
    let _ = apply(&mut transaction, &event).await?;
    let _ = apply(&mut *transaction, &event).await?;
    let _ = outer(&pool, &event).await?;
    let _ = apply(pool.clone(), &event).await?;
    let _ = apply(pool, &event).await?;
    Ok(())
}

fn assert_send(_: impl Send) {}

fn main() {
    let _ = |pool, event| assert_send(call(pool, event));
}
