//! What one look costs, whatever is in the outbox or was in it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use idem_runtime::{Message, PublishBatch, PublishError, Publisher, Relay, wake};
use idem_tests::server::{Options, Postgres};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Row as _, raw_sql};
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;

use super::progress::progress;
use super::sink::Sink;
use super::tables;
use crate::args::Args;
use crate::stats::quantile;

/// How long each state is looked at.
const WINDOW: Duration = Duration::from_secs(10);

/// Confirms all but the events whose key begins with `held`.
struct Holding(Sink);

impl Publisher for Holding {
    async fn publish(&self, batch: PublishBatch) {
        let is_held = |message: &Message| {
            let key = message.key.as_deref();
            key.is_some_and(|key| key.starts_with("held"))
        };
        if !batch.messages().iter().any(is_held) {
            return self.0.publish(batch).await;
        }
        for (index, message) in batch.messages().iter().enumerate() {
            let verdict = if is_held(message) {
                Err(PublishError::retryable("held back").after(Duration::from_hours(1)))
            } else {
                Ok(())
            };
            batch.verdict(index, verdict);
        }
    }
}

pub(super) async fn run(args: &Args) -> Result<()> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder
        .install()
        .context("another recorder is installed")?;
    let postgres = Postgres::start(Options::default().durable()).await?;
    let steps = progress("looks", 5)?;
    let mut lines = Vec::new();
    let churned = if args.rounds.is_some() {
        500_000
    } else {
        10_000_000
    };

    // Each state has a database of its own; the relay runs through it.
    let pool = prepared(&postgres).await?;
    let running = Running::start(&pool).await?;
    lines.push(("empty", looked_at(&pool, &snapshotter).await?));
    steps.inc(1);
    let mut published = 0;
    while published < churned {
        tables::fill_postgres(&pool, 250_000, 1_000, "key").await?;
        published += 250_000;
        wake(&pool).await?;
        running.sink.reached(running.base + published).await;
        steps.set_message(format!("{published} published"));
    }
    lines.push((
        "after 10 million published and deleted",
        looked_at(&pool, &snapshotter).await?,
    ));
    running.stop().await?;
    steps.inc(1);

    let pool = prepared(&postgres).await?;
    raw_sql("ALTER TABLE idem_outbox SET (autovacuum_enabled = false)")
        .execute(&pool)
        .await?;
    let running = Running::start(&pool).await?;
    tables::fill_postgres(&pool, 200_000, 200_000, "held").await?;
    wake(&pool).await?;
    wait_until(&pool, "SELECT count(*) FROM idem_attempts", 200_000).await?;
    lines.push((
        "with 200,000 rows never analysed",
        looked_at(&pool, &snapshotter).await?,
    ));
    running.stop().await?;
    steps.inc(1);

    let pool = prepared(&postgres).await?;
    let running = Running::start(&pool).await?;
    tables::fill_postgres(&pool, 50_000, 50_000, "held").await?;
    wake(&pool).await?;
    wait_until(&pool, "SELECT count(*) FROM idem_attempts", 50_000).await?;
    lines.push((
        "with 50,000 keys held back",
        looked_at(&pool, &snapshotter).await?,
    ));
    running.stop().await?;
    steps.inc(1);

    let pool = prepared(&postgres).await?;
    let running = Running::start(&pool).await?;
    let mut holder = pool.begin().await?;
    raw_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .execute(&mut *holder)
        .await?;
    raw_sql("SELECT count(*) FROM idem_outbox")
        .fetch_one(&mut *holder)
        .await?;
    let seconds = if args.rounds.is_some() { 10 } else { 180 };
    let mut ticks = interval(Duration::from_millis(100));
    for tick in 0..seconds * 10 {
        ticks.tick().await;
        tables::fill_postgres(&pool, 80, 80, "key").await?;
        wake(&pool).await?;
        steps.set_message(format!("xmin held for {} s", tick / 10));
    }
    lines.push((
        "while xmin was held for 3 minutes at 800 events/s",
        looked_at(&pool, &snapshotter).await?,
    ));
    holder.rollback().await?;
    running.stop().await?;
    steps.finish_and_clear();

    println!("\nLooks while 800 events/s are published\n");
    println!(
        "| state | median ms | 90th percentile | × empty | full look, median ms |\n|---|--:|--:|--:|--:|"
    );
    let empty = lines.first().map_or(f64::NAN, |(_, times)| times.median);
    for (state, times) in &lines {
        println!(
            "| {state} | {:.2} | {:.2} | {:.2} | {:.2} |",
            times.median * 1e3,
            times.p90 * 1e3,
            times.median / empty,
            times.full * 1e3,
        );
    }
    Ok(())
}

struct Times {
    median: f64,
    p90: f64,
    full: f64,
}

/// The looks of a while, in which 800 events a second come and go.
async fn looked_at(pool: &PgPool, snapshotter: &Snapshotter) -> Result<Times> {
    // What was recorded until now.
    snapshotter.snapshot();
    let mut ticks = interval(Duration::from_millis(100));
    for _ in 0..WINDOW.as_millis() / 100 {
        ticks.tick().await;
        tables::fill_postgres(pool, 80, 80, "key").await?;
        wake(pool).await?;
    }
    let (mut looks, mut full) = (Vec::new(), Vec::new());
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        if let DebugValue::Histogram(values) = value {
            let values = values.into_iter().map(|value| value.into_inner());
            match key.key().name() {
                "idem_relay_look_seconds" => looks.extend(values),
                "idem_relay_full_look_seconds" => full.extend(values),
                _ => {}
            }
        }
    }
    let at = |values: &Vec<f64>, share| quantile(values.clone(), share).unwrap_or(f64::NAN);
    Ok(Times {
        median: at(&looks, 0.5),
        p90: at(&looks, 0.9),
        full: at(&full, 0.5),
    })
}

async fn prepared(server: &Postgres) -> Result<PgPool> {
    let database = Box::leak(Box::new(server.database().await));
    let pool = PgPoolOptions::new()
        .max_connections(8)
        .connect(database.url())
        .await?;
    idem_runtime::migrate(&pool).await?;
    Ok(pool)
}

async fn wait_until(pool: &PgPool, sql: &'static str, count: i64) -> Result<()> {
    while raw_sql(sql).fetch_one(pool).await?.try_get::<i64, _>(0)? < count {
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

struct Running {
    sink: Sink,
    base: u64,
    shutdown: CancellationToken,
    relay: tokio::task::JoinHandle<Result<idem_runtime::RelayStats, idem_runtime::RelayError>>,
}

impl Running {
    async fn start(pool: &PgPool) -> Result<Self> {
        let sink = Sink::new();
        let shutdown = CancellationToken::new();
        let relay = Relay::new(pool.clone(), Holding(sink.clone()));
        let relay = tokio::spawn(relay.run(shutdown.clone().cancelled_owned()));
        tables::fill_postgres(pool, 1, 1, "key").await?;
        sink.reached(1).await;
        // The 800 events of each second of the first window.
        let base = 1 + WINDOW.as_secs() * 800;
        Ok(Self {
            sink,
            base,
            shutdown,
            relay,
        })
    }

    async fn stop(self) -> Result<()> {
        self.shutdown.cancel();
        self.relay.await??;
        Ok(())
    }
}
