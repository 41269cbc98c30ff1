//! From the commit to the publisher, at 1,000 events a second.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use idem_runtime::{Relay, UpkeepOptions, spawn_upkeep};
use idem_tests::server::{Options, Postgres};
use sqlx::postgres::PgPoolOptions;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::enqueue::enqueue;
use super::progress::progress;
use super::sink::Sink;
use crate::args::Args;
use crate::stats::quantile;

pub(super) async fn run(args: &Args) -> Result<()> {
    let seconds = if args.rounds.is_some() { 3 } else { 20 };
    let server = Postgres::start(Options::default().durable()).await?;
    let database = server.database().await;
    let connect = async |connections| {
        let pool = PgPoolOptions::new().max_connections(connections);
        pool.connect(database.url()).await
    };
    let pool = connect(12).await?;
    idem_runtime::migrate(&pool).await?;
    let (times, mut published) = unbounded_channel();
    let shutdown = CancellationToken::new();
    let relay = Relay::new(connect(6).await?, Sink::with_times(times));
    let running = tokio::spawn(relay.run(shutdown.clone().cancelled_owned()));
    let upkeep = spawn_upkeep(pool.clone(), UpkeepOptions::default());

    let progress = progress("latency", seconds)?;
    let mut ticks = interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut calls = JoinSet::new();
    let mut committed = HashMap::new();
    for n in 0..seconds as u64 * 1_000 {
        ticks.tick().await;
        let pool = pool.clone();
        calls.spawn(async move {
            let id = enqueue(&pool, n % 1_000).await?;
            anyhow::Ok((id, Instant::now()))
        });
        while let Some(call) = calls.try_join_next() {
            let (id, at) = call??;
            committed.insert(id, at);
        }
        if n % 1_000 == 0 {
            progress.inc(1);
        }
    }
    while let Some(call) = calls.join_next().await {
        let (id, at) = call??;
        committed.insert(id, at);
    }
    let mut waits = Vec::new();
    while waits.len() < committed.len() {
        let Some((id, at)) = published.recv().await else {
            break;
        };
        if let Some(commit) = committed.get(&id) {
            waits.push(at.saturating_duration_since(*commit).as_secs_f64() * 1e3);
        }
    }
    shutdown.cancel();
    running.await??;
    upkeep.stop().await;
    progress.finish_and_clear();
    let at = |share| quantile(waits.clone(), share).unwrap_or(f64::NAN);
    println!(
        "\nFrom commit to publisher at 1,000 events/s, ms ({} events)\n",
        waits.len()
    );
    println!("| median | 90th percentile | 99th | 99.9th | most |\n|--:|--:|--:|--:|--:|");
    println!(
        "| {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        at(1.0)
    );
    Ok(())
}
