//! What a relay takes from the handlers of its database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use idem_runtime::{Event, Outbox, Relay, outbox};
use idem_tests::server::{Options, Postgres};
use serde::Serialize;
use sqlx::PgPool;
use sqlx::postgres::{PgConnection, PgPoolOptions};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::progress::progress;
use super::sink::Sink;
use crate::args::Args;
use crate::stats::quantile;

const SLICE: Duration = Duration::from_secs(2);
const CONNECTIONS: usize = 8;

#[derive(Serialize, Event)]
#[event(topic = "bench", key = "key")]
pub(super) struct Enqueued {
    pub(super) key: u64,
    pub(super) text: String,
}

#[outbox(scope = "bench.enqueue")]
pub(super) async fn enqueue(
    tx: &mut PgConnection,
    outbox: &mut Outbox<Enqueued>,
    key: u64,
) -> Result<idem_runtime::EventId, sqlx::Error> {
    let _: &mut PgConnection = tx;
    let text = "x".repeat(80);
    Ok(outbox.emit(&Enqueued { key, text }))
}

pub(super) async fn run(args: &Args) -> Result<()> {
    let rounds = args.rounds.unwrap_or(10);
    let server = Postgres::start(Options::default().durable()).await?;
    let database = server.database().await;
    let pool = PgPoolOptions::new().max_connections(12).min_connections(12);
    let pool = pool.connect(database.url()).await?;
    idem_runtime::migrate(&pool).await?;
    let progress = progress("enqueueing", rounds * 2)?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        alone.push(rate(&pool).await?);
        progress.inc(1);
        // Nothing is waiting when the slice begins, and nothing waits at its end.
        let sink = Sink::new();
        Relay::new(pool.clone(), sink.clone()).drain().await?;
        let shutdown = CancellationToken::new();
        let relay = Relay::new(pool.clone(), sink.clone());
        let running = tokio::spawn(relay.run(shutdown.clone().cancelled_owned()));
        beside.push(rate(&pool).await?);
        shutdown.cancel();
        running.await??;
        progress.inc(1);
    }
    progress.finish_and_clear();
    let median = |rates| quantile(rates, 0.5).unwrap_or(f64::NAN);
    let (alone, beside) = (median(alone), median(beside));
    println!(
        "\nEnqueueing by {CONNECTIONS} connections, commits/s (median of {rounds} interleaved slices)\n"
    );
    println!("| | commits/s | × without |\n|---|--:|--:|");
    println!("| without a relay | {alone:.0} | 1 |");
    println!(
        "| while a relay publishes them | {beside:.0} | {:.2} |",
        beside / alone
    );
    Ok(())
}

async fn rate(pool: &PgPool) -> Result<f64> {
    let stop = Arc::new(AtomicBool::new(false));
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for worker in 0..CONNECTIONS as u64 {
        let (pool, stop) = (pool.clone(), stop.clone());
        workers.spawn(async move {
            let mut commits = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                enqueue(&pool, worker * 100 + commits % 100).await?;
                commits += 1;
            }
            anyhow::Ok(commits)
        });
    }
    tokio::time::sleep(SLICE).await;
    stop.store(true, Ordering::Relaxed);
    let mut commits = 0;
    while let Some(worker) = workers.join_next().await {
        commits += worker??;
    }
    Ok(commits as f64 / start.elapsed().as_secs_f64())
}
