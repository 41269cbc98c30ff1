use idem_tests::ui::*;
use std::rc::Rc;

#[idempotent(key = "event.id", on_duplicate = "skip", handler = Apply)]
async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<Rc<str>, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(event.account.to_string().into())
}

fn main() {}
