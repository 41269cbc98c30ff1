#![deny(warnings)]
use idem_tests::ui::*;
use std::rc::Rc;

// Without `handler = ..` nobody asks for `Send`.
#[idempotent(key = "event.id")]
pub async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<i64, AppError> {
    let counter = Rc::new(event.account);
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    Ok(*counter)
}

fn main() {}
