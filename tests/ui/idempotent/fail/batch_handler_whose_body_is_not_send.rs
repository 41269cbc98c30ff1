use idem_tests::ui::*;

#[idempotent(key = "event.id", batch = "event in events", handler = ApplyAll)]
async fn apply_all(tx: &mut PgConnection, events: &[&Payment]) -> Result<Vec<Receipt>, AppError> {
    let counter = std::rc::Rc::new(1);
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    Ok(events.iter().map(|event| Receipt { account: event.account + *counter }).collect())
}

fn main() {}
