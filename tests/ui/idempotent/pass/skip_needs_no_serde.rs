#![deny(warnings)]
use std::fmt::Display;

use idem_tests::ui::*;

pub struct Opaque;

#[idempotent(key = "event.id", on_duplicate = "skip")]
async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<Opaque, AppError> {
    sqlx::query("SELECT $1")
        .bind(event.account)
        .execute(&mut *tx)
        .await?;
    Ok(Opaque)
}

#[idempotent(key = "event.id", on_duplicate = "skip")]
async fn unnamed(tx: &mut PgConnection, event: &Payment) -> Result<impl Display, AppError> {
    sqlx::query("SELECT $1")
        .bind(event.account)
        .execute(&mut *tx)
        .await?;
    Ok(event.account)
}

async fn call(
    pool: PgPool,
    event: Payment,
) -> Result<Option<String>, idem_runtime::Error<AppError>> {
    match apply(&pool, &event).await? {
        Outcome::Executed(Opaque) | Outcome::Replayed(()) => {}
    }
    Ok(unnamed(&pool, &event)
        .await?
        .executed()
        .map(|value| value.to_string()))
}

fn assert_send(_: impl Send) {}

fn main() {
    let _ = |pool, event| assert_send(call(pool, event));
}
