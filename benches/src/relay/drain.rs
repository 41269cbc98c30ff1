//! Events a second, from an outbox that has some to a publisher that confirms at once.

use std::time::{Duration, Instant};

use anyhow::Result;
use idem_runtime::{Relay, wake};
use idem_tests::server::{self, Database, MariaDb, Options, Postgres};
use sqlx::mysql::MySqlPoolOptions;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{Row as _, raw_sql};
use tokio_util::sync::CancellationToken;

use super::peer::Peer;
use super::progress::progress;
use super::sink::Sink;
use super::tables;
use crate::args::Args;
use crate::stats::quantile;

const SIZES: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// What the peer gets: it takes its time.
const PEER_SIZE: u64 = 100_000;

/// A relay that runs and sleeps, and how its outbox is filled.
macro_rules! runner {
    ($pool:expr, |$p:ident, $events:ident| $fill:expr) => {{
        let $p = $pool.clone();
        let sink = Sink::new();
        let shutdown = CancellationToken::new();
        let relay = Relay::new($p.clone(), sink.clone()).poll_interval(Duration::from_secs(5));
        let running = tokio::spawn(relay.run(shutdown.clone().cancelled_owned()));
        // It is there when its first event is.
        {
            let $events = 1;
            $fill.await?;
        }
        wake(&$p).await?;
        sink.reached(1).await;
        let measure = {
            let sink = sink.clone();
            async move |$events: u64| -> Result<f64> {
                $fill.await?;
                let goal = sink.confirmed() + $events;
                let start = Instant::now();
                wake(&$p).await?;
                sink.reached(goal).await;
                let rate = $events as f64 / start.elapsed().as_secs_f64();
                // Until it is empty.
                while raw_sql("SELECT count(*) FROM idem_outbox")
                    .fetch_one(&$p)
                    .await?
                    .try_get::<i64, _>(0)?
                    > 0
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Ok(rate)
            }
        };
        (measure, shutdown, running)
    }};
}

pub(super) async fn run(args: &Args) -> Result<()> {
    let rounds = args.rounds.unwrap_or(7);
    let wants = |database| args.only.as_deref().is_none_or(|only| only == database);
    let postgres = Postgres::start(Options::default().durable()).await?;
    let database = postgres.database().await;
    let peers = [postgres.database().await, postgres.database().await];
    let pool = PgPoolOptions::new().max_connections(8);
    let pool = pool.connect(database.url()).await?;
    idem_runtime::migrate(&pool).await?;
    let (on_postgres, stop_postgres, relay_postgres) =
        runner!(pool, |p, events| tables::fill_postgres(
            &p, events, 1_000, "key"
        ));

    // The tests' servers have little memory and a small log.
    let options = Options::default()
        .durable()
        .set("innodb_buffer_pool_size", "1G")
        .set("innodb_log_file_size", "256M");
    let mariadb = MariaDb::start(options).await?;
    let on_maria: Database = mariadb.database().await;
    let pool = MySqlPoolOptions::new().max_connections(8);
    let pool = pool.connect(on_maria.url()).await?;
    idem_runtime::migrate(&pool).await?;
    let (on_mariadb, stop_mariadb, relay_mariadb) =
        runner!(pool, |p, events| tables::fill_mariadb(&p, events));

    let file = server::sqlite();
    let pool = SqlitePoolOptions::new().max_connections(8);
    let pool = pool.connect(file.url()).await?;
    idem_runtime::migrate(&pool).await?;
    let (on_sqlite, stop_sqlite, relay_sqlite) =
        runner!(pool, |p, events| tables::fill_sqlite(&p, events));

    let as_shipped = Peer::start(peers[0].url(), None).await?;
    let tuned = Peer::start(peers[1].url(), Some(1_000)).await?;
    let progress = progress("draining", rounds * (SIZES.len() * 3 + 2))?;
    let mut rates: Vec<(String, u64, Vec<f64>)> = Vec::new();
    let mut note = |name: &str, size: u64, rate: f64| {
        progress.inc(1);
        progress.set_message(format!("{name} {size}: {rate:.0}/s"));
        match rates.iter_mut().find(|(n, s, _)| n == name && *s == size) {
            Some((.., rates)) => rates.push(rate),
            None => rates.push((name.into(), size, vec![rate])),
        }
    };
    for _ in 0..rounds {
        for size in SIZES {
            if size > args.keys {
                continue;
            }
            if wants("postgres") {
                note("PostgreSQL", size, on_postgres(size).await?);
            }
            if wants("mariadb") {
                note("MariaDB", size, on_mariadb(size).await?);
            }
            if wants("sqlite") {
                note("SQLite", size, on_sqlite(size).await?);
            }
        }
        if wants("postgres") {
            let rate = as_shipped.drain(PEER_SIZE).await?;
            note("outbox-postgres 0.3, as it comes", PEER_SIZE, rate);
            let rate = tuned.drain(PEER_SIZE).await?;
            note("outbox-postgres 0.3, batches of 1,000", PEER_SIZE, rate);
        }
    }
    progress.finish_and_clear();
    for stop in [stop_postgres, stop_mariadb, stop_sqlite] {
        stop.cancel();
    }
    for relay in [relay_postgres, relay_mariadb, relay_sqlite] {
        relay.await??;
    }
    println!(
        "\nDraining, events/s (median of {rounds} interleaved rounds; 10th and 90th percentile)\n"
    );
    println!("| | waiting | events/s | from | to |\n|---|--:|--:|--:|--:|");
    for (name, size, rates) in rates {
        let at = |share| quantile(rates.clone(), share).unwrap_or(f64::NAN);
        println!(
            "| {name} | {size} | {:.0} | {:.0} | {:.0} |",
            at(0.5),
            at(0.1),
            at(0.9)
        );
    }
    Ok(())
}

/// One, two and four relays on one outbox of PostgreSQL.
pub(super) async fn several(args: &Args) -> Result<()> {
    const EVENTS: u64 = 300_000;

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
    let progress = progress("several relays", rounds * 3)?;
    println!("\nSeveral relays, {EVENTS} events waiting, events/s (median of {rounds})\n");
    println!("| relays | events/s |\n|--:|--:|");
    for count in [1, 2, 4] {
        let sink = Sink::new();
        let shutdown = CancellationToken::new();
        let mut running = Vec::new();
        for _ in 0..count {
            let relay = Relay::new(connect().await?, sink.clone())
                .poll_interval(Duration::from_millis(200))
                .lease(Duration::from_secs(3));
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
            tables::fill_postgres(&pool, EVENTS, 1_000, "key").await?;
            let goal = sink.confirmed() + EVENTS;
            let start = Instant::now();
            wake(&pool).await?;
            sink.reached(goal).await;
            rates.push(EVENTS as f64 / start.elapsed().as_secs_f64());
            progress.inc(1);
        }
        shutdown.cancel();
        for relay in running {
            relay.await??;
        }
        let median = quantile(rates, 0.5).unwrap_or(f64::NAN);
        progress.suspend(|| println!("| {count} | {median:.0} |"));
    }
    progress.finish_and_clear();
    Ok(())
}
