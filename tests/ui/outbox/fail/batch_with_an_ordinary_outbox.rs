use idem_tests::ui::*;

#[idempotent(key = "event.id", batch = "event in events")]
#[outbox]
async fn apply_all(tx: &mut PgConnection, outbox: &mut Outbox<Settled>, events: &[&Payment]) -> Result<Vec<Receipt>, AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    outbox.emit(&Settled { account: events[0].account });
    Ok(events.iter().map(|event| Receipt { account: event.account }).collect())
}

fn main() {}
