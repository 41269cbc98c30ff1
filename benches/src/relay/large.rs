//! Large events: what bounds a relay is then the bytes in hand, not the count of events.

use std::time::{Duration, Instant};

use anyhow::Result;
use idem_runtime::{Relay, wake};
use idem_tests::server::{Options, Postgres};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Row as _, raw_sql};
use tokio_util::sync::CancellationToken;

use super::progress::progress;
use super::sink::Sink;
use crate::args::Args;
use crate::stats::quantile;

const EVENTS: u64 = 5_000;
const BYTES: u64 = 100_000;
const MIB: usize = 1024 * 1024;

/// One and two relays, with little and with much memory, on one outbox of PostgreSQL.
pub(super) async fn run(args: &Args) -> Result<()> {
    let rounds = args.rounds.unwrap_or(5);
    let postgres = Postgres::start(Options::default().durable()).await?;
    let database = postgres.database().await;
    let connect = async || {
        PgPoolOptions::new()
            .max_connections(6)
            .connect(database.url())
            .await
    };
    let pool = connect().await?;
    idem_runtime::migrate(&pool).await?;
    let fill = format!(
        "INSERT INTO idem_outbox (id, shard, topic, key, type, payload, content_type, headers) \
         SELECT gen_random_uuid(), (n % 1000) % 64, 'bench', 'key-' || n % 1000, 'Bench', \
           convert_to('\"' || text || '\"', 'UTF8'), 'application/json', '{{}}' \
         FROM generate_series(1, {EVENTS}) AS n, \
           (SELECT string_agg(md5(random()::text), '') AS text FROM generate_series(1, {BYTES} / 32)) AS incompressible"
    );
    let progress = progress("large events", rounds * 4)?;
    println!(
        "\nLarge events on PostgreSQL, {EVENTS} of {BYTES} bytes waiting (median of {rounds})\n"
    );
    println!("| relays | in hand | events/s | MB/s |\n|--:|--:|--:|--:|");
    for (count, in_hand) in [(1, 16), (1, 64), (2, 16), (2, 64)] {
        let sink = Sink::new();
        let shutdown = CancellationToken::new();
        let mut running = Vec::new();
        for _ in 0..count {
            let relay = Relay::new(connect().await?, sink.clone())
                .poll_interval(Duration::from_millis(200))
                .lease(Duration::from_secs(3))
                .in_hand(10_000, in_hand * MIB);
            running.push(tokio::spawn(relay.run(shutdown.clone().cancelled_owned())));
        }
        let shared = "SELECT count(*) FROM idem_relays WHERE shards <> 0";
        while raw_sql(shared)
            .fetch_one(&pool)
            .await?
            .try_get::<i64, _>(0)?
            < count
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut rates = Vec::new();
        for _ in 0..rounds {
            raw_sql(AssertSqlSafe(fill.clone())).execute(&pool).await?;
            let goal = sink.confirmed() + EVENTS;
            let start = Instant::now();
            wake(&pool).await?;
            sink.reached(goal).await;
            rates.push(EVENTS as f64 / start.elapsed().as_secs_f64());
            progress.inc(1);
            progress.set_message(format!(
                "{count} relays, {in_hand} MiB: {:.0}/s",
                rates[rates.len() - 1]
            ));
        }
        shutdown.cancel();
        for relay in running {
            relay.await??;
        }
        let median = quantile(rates, 0.5).unwrap_or(f64::NAN);
        let megabytes = median * BYTES as f64 / 1e6;
        progress.suspend(|| println!("| {count} | {in_hand} MiB | {median:.0} | {megabytes:.0} |"));
    }
    progress.finish_and_clear();
    Ok(())
}
