use idem_tests::ui::*;

struct Refused;

impl From<sqlx::Error> for Refused {
    fn from(_: sqlx::Error) -> Self {
        Self
    }
}

#[idempotent(key = "event.id", batch = "event in events", retry = 3)]
async fn apply_all(tx: &mut PgConnection, events: &[&Payment]) -> Result<Vec<Receipt>, Refused> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    Ok(events.iter().map(|event| Receipt { account: event.account }).collect())
}

fn main() {}
