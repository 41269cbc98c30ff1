use idem_runtime::{Consumer, Source};
use idem_tests::ui::*;

struct Paid {
    account: i64,
}

#[idempotent(key = "event.account", handler = Apply)]
async fn apply(tx: &mut PgConnection, event: &Paid) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT 1").bind(event.account).execute(tx).await?;
    Ok(())
}

async fn consume<S: Source>(source: S, pool: PgPool) {
    let consumer = Consumer::new("ledger", source).on_type::<Apply>("paid");
    let _ = consumer.run(&pool, std::future::pending()).await;
}

fn main() {
    let _ = consume::<idem_testing::TestSource>;
}
