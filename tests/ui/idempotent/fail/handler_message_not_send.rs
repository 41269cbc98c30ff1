use idem_tests::ui::*;
use std::rc::Rc;

struct Shared {
    id: Uuid,
    _rest: Rc<()>,
}

#[idempotent(key = "event.id", handler = Apply)]
async fn apply(tx: &mut PgConnection, event: &Shared) -> Result<String, AppError> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(event.id.to_string())
}

fn main() {}
