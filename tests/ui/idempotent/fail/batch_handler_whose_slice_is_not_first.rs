use idem_tests::ui::*;

#[idempotent(key = "event.id", batch = "event in events", handler = ApplyAll)]
async fn apply_all(tx: &mut PgConnection, tenant: &str, events: &[&Payment]) -> Result<Vec<Receipt>, AppError> {
    sqlx::query("SELECT $1").bind(tenant).execute(&mut *tx).await?;
    Ok(events.iter().map(|event| Receipt { account: event.account }).collect())
}

fn main() {}
