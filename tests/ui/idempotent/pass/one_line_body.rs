#![deny(warnings)]
use idem_tests::ui::*;

#[idempotent(key = "event.id")]
#[rustfmt::skip]
async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<u64, AppError> { Ok(sqlx::query("SELECT $1").bind(event.account).execute(tx).await?.rows_affected()) }

#[idempotent(key = "event.id")]
async fn nothing(_tx: &mut PgConnection, event: &Payment) -> anyhow::Result<()> {
    anyhow::ensure!(event.cents > 0, "no money");
    Ok(())
}

fn main() {
    let _ = |pool: PgPool, event: Payment| {
        drop(async move { (apply(&pool, &event).await, nothing(&pool, &event).await) })
    };
}
