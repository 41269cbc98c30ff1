//! A consumer of every kind, spawned on a runtime of several threads with a local pool.

use std::time::Duration;

use idem_runtime::{
    Backoff, Consumer, ConsumerError, ConsumerStats, Decode, Incoming, Undecodable,
};
use idem_testing::TestSource;
use idem_tests::ui::*;

struct Mailer;

struct Text;

impl Decode<String> for Text {
    fn decode(&self, incoming: &Incoming) -> Result<String, Undecodable> {
        String::from_utf8(incoming.body.clone()).map_err(|_| Undecodable::new("not UTF-8"))
    }
}

#[idempotent(key = "event.account", scope = "ui.apply", handler = Apply)]
async fn apply(tx: &mut PgConnection, event: &Settled) -> Result<Receipt, sqlx::Error> {
    sqlx::query("SELECT 1")
        .bind(event.account)
        .execute(tx)
        .await?;
    Ok(Receipt {
        account: event.account,
    })
}

#[idempotent(key = "event.id", scope = "ui.notify", handler = Notify)]
async fn notify(
    tx: &mut PgConnection,
    event: &Received<Refunded>,
    _: &Mailer,
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT 1")
        .bind(event.data.account)
        .execute(tx)
        .await?;
    Ok(())
}

#[idempotent(key = "event.id", scope = "ui.note", handler = Note)]
async fn note(
    tx: &mut PgConnection,
    event: &Received<String>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    sqlx::query("SELECT 1")
        .bind(&event.data)
        .execute(tx)
        .await?;
    Ok(())
}

fn spawn(url: &str) -> tokio::task::JoinHandle<Result<ConsumerStats, ConsumerError>> {
    let pool = PgPool::connect_lazy(url).unwrap();
    let consumer = Consumer::new("ledger", TestSource::new())
        .on::<Apply>()
        .on_type::<Apply>("payment.settled.v2")
        .on_with::<Notify>(Mailer)
        .on_type_with::<Notify>("payment.refunded.v2", Mailer)
        .format(Text)
        .on_type::<Note>("note")
        .concurrency(64)
        .retry(Backoff::exponential(Duration::from_millis(200), Duration::from_mins(5)).attempts(8))
        .hold(Duration::from_secs(30))
        .in_hand(1_000, 64 << 20)
        .parked(10_000)
        .shutdown_timeout(Duration::from_secs(30))
        .ignore_unknown();
    let shutdown = std::future::ready(());
    tokio::spawn(async move { consumer.run(&pool, shutdown).await })
}

fn main() {
    let _ = spawn;
}
