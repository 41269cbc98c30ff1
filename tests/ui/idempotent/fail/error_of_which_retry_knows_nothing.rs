use idem_tests::ui::*;

struct Refused;

impl From<sqlx::Error> for Refused {
    fn from(_: sqlx::Error) -> Self {
        Self
    }
}

#[idempotent(key = "event.id", retry = 3)]
async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<Receipt, Refused> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(Receipt { account: event.account })
}

fn main() {}
