#![deny(warnings)]
use idem_tests::ui::*;
use std::cell::Cell;

// `Cell` is `Send`, not `Sync`: the expansion must not hold a reference to it across an await.
#[idempotent(key = "event.id")]
async fn apply(tx: &mut PgConnection, event: Payment, counter: Cell<u32>) -> Result<u32, AppError> {
    counter.set(counter.get() + 1);
    sqlx::query("SELECT $1")
        .bind(event.account)
        .execute(&mut *tx)
        .await?;
    Ok(counter.into_inner())
}

#[allow(dead_code)]
async fn spawned(pool: PgPool, event: Payment) {
    let task = tokio::spawn(async move {
        apply(&pool, event, Cell::new(0))
            .await
            .map(Outcome::into_inner)
    });
    drop(task.await);
}

fn main() {}
