//! What a claim costs in a table that has grown: time, WAL, index; keys in the order of time
//! against random keys.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use idem_runtime::{Outcome, idempotent};
use idem_tests::server::{Options, Postgres};
use indicatif::{ProgressBar, ProgressStyle};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::args::Args;
use crate::report;
use crate::stats::quantile;

const SIZES: [u64; 3] = [10_000, 1_000_000, 5_000_000];
const CLAIMS: u32 = 4_000;
const FILL: u64 = 500_000;

/// A claim and its end, and nothing between them.
#[idempotent(key = "id", scope = "bench.growth", on_duplicate = "skip")]
async fn claim(tx: &mut PgConnection, id: Uuid) -> Result<(), sqlx::Error> {
    let _ = tx;
    Ok(())
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Time,
    Random,
}

impl Order {
    fn name(self) -> &'static str {
        match self {
            Self::Time => "UUIDv7, in the order of time",
            Self::Random => "UUIDv4, random",
        }
    }

    fn id(self) -> Uuid {
        match self {
            Self::Time => Uuid::now_v7(),
            Self::Random => Uuid::new_v4(),
        }
    }

    /// Keys `$2` to `$3` as this order mints them, ten a millisecond, before now. `$1` is what a
    /// stored key has before its UUID.
    fn fill(self) -> &'static str {
        match self {
            Self::Time => {
                "INSERT INTO idem_keys (scope, key, state)
                 SELECT 'bench.growth', $1 || substring(int8send(
                            (extract(epoch FROM now()) * 1000)::bigint - 1000000 + i / 10) FROM 3)
                        || substring(uuid_send(gen_random_uuid()) FROM 7), 3
                 FROM generate_series($2, $3) i"
            }
            Self::Random => {
                "INSERT INTO idem_keys (scope, key, state)
                 SELECT 'bench.growth', $1 || uuid_send(gen_random_uuid()), 3
                 FROM generate_series($2, $3)"
            }
        }
    }
}

/// A line of the table.
#[derive(Debug)]
struct Line {
    keys: u64,
    order: Order,
    /// Medians in microseconds.
    claim: f64,
    empty: f64,
    /// A claim, on average.
    records: f64,
    after_checkpoint: f64,
    images: f64,
    heap: i64,
    index: i64,
}

/// Measures and prints the table.
pub(crate) async fn run(args: &Args) -> Result<()> {
    // Nothing is flushed, so that the table's part of the time shows; a flush costs the same
    // whatever the table.
    let options = Options::default()
        .durable()
        .set("fsync", "off")
        .set("synchronous_commit", "off")
        .set("autovacuum", "off")
        .set("checkpoint_timeout", "1d")
        .set("max_wal_size", "20GB");
    let server = Postgres::start(options).await?;
    println!(
        "\nPostgreSQL: fsync and synchronous_commit off, {CLAIMS} claims each through a pool of one connection"
    );
    let mut lines = Vec::new();
    for order in [Order::Time, Order::Random] {
        let database = server.database().await;
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .test_before_acquire(false)
            .connect(database.url())
            .await?;
        idem_runtime::migrate(&pool).await?;
        for keys in SIZES.into_iter().filter(|keys| *keys <= args.keys) {
            fill(&pool, order, keys).await?;
            lines.push(measure(&pool, order, keys).await?);
        }
        pool.close().await;
    }
    println!("{}", table(&lines));
    report::write(&args.out.join("growth.csv"), &csv(&lines))
}

async fn fill(pool: &PgPool, order: Order, keys: u64) -> Result<()> {
    handle(pool, order).await?;
    let tag: Vec<u8> =
        sqlx::query_scalar("SELECT substring(key FOR length(key) - 16) FROM idem_keys LIMIT 1")
            .fetch_one(pool)
            .await?;
    let have: i64 = sqlx::query_scalar("SELECT count(*) FROM idem_keys")
        .fetch_one(pool)
        .await?;
    let have = u64::try_from(have)?;
    let progress = ProgressBar::new(keys)
        .with_style(ProgressStyle::with_template(
            "{prefix} {wide_bar} {pos}/{len} keys {elapsed}",
        )?)
        .with_prefix(order.name())
        .with_position(have);
    progress.enable_steady_tick(Duration::from_millis(200));
    let mut next = have;
    while next < keys {
        let last = (next + FILL).min(keys);
        sqlx::query(order.fill())
            .bind(&tag)
            .bind(i64::try_from(next)?)
            .bind(i64::try_from(last - 1)?)
            .execute(pool)
            .await?;
        next = last;
        progress.set_position(next);
    }
    progress.finish_and_clear();
    sqlx::raw_sql("VACUUM ANALYZE idem_keys")
        .execute(pool)
        .await?;
    Ok(())
}

async fn measure(pool: &PgPool, order: Order, keys: u64) -> Result<Line> {
    // Warms the plans and the pages.
    claims(pool, order, CLAIMS / 4).await?;
    page_images(pool, false).await?;
    let (micros, records, _) = claims(pool, order, CLAIMS).await?;
    let mut empty = Vec::new();
    for _ in 0..CLAIMS / 4 {
        let start = Instant::now();
        pool.begin().await?.commit().await?;
        empty.push(start.elapsed().as_secs_f64() * 1e6);
    }
    page_images(pool, true).await?;
    sqlx::raw_sql("CHECKPOINT").execute(pool).await?;
    let (_, after_checkpoint, images) = claims(pool, order, CLAIMS).await?;
    let (heap, index): (i64, i64) =
        sqlx::query_as("SELECT pg_relation_size('idem_keys'), pg_relation_size('idem_keys_pkey')")
            .fetch_one(pool)
            .await?;
    Ok(Line {
        keys,
        order,
        claim: micros,
        empty: quantile(empty, 0.5).context("there were some")?,
        records,
        after_checkpoint,
        images,
        heap,
        index,
    })
}

/// The median time, and WAL bytes and page images a claim.
async fn claims(pool: &PgPool, order: Order, count: u32) -> Result<(f64, f64, f64)> {
    let before = wal(pool).await?;
    let mut times = Vec::new();
    for _ in 0..count {
        times.push(handle(pool, order).await?);
    }
    let after = wal(pool).await?;
    let a_claim = |after: f64, before: f64| (after - before) / f64::from(count);
    Ok((
        quantile(times, 0.5).context("there were some")?,
        a_claim(after.0, before.0),
        a_claim(after.1, before.1),
    ))
}

async fn handle(pool: &PgPool, order: Order) -> Result<f64> {
    let id = order.id();
    let start = Instant::now();
    let outcome = claim(pool, id).await?;
    ensure!(
        matches!(outcome, Outcome::Executed(())),
        "a new key was taken"
    );
    Ok(start.elapsed().as_secs_f64() * 1e6)
}

/// Bytes and page images so far. The server's own counters would come late: a session reports them
/// now and then.
async fn wal(pool: &PgPool) -> Result<(f64, f64)> {
    let bytes: f64 = sqlx::query_scalar("SELECT (pg_current_wal_insert_lsn() - '0/0')::float8")
        .fetch_one(pool)
        .await?;
    // Counted when the session has been idle for a moment; `pg_stat_force_next_flush` does away
    // with that.
    sqlx::query("SELECT pg_stat_force_next_flush()")
        .execute(pool)
        .await?;
    let images: f64 = sqlx::query_scalar("SELECT wal_fpi::float8 FROM pg_stat_wal")
        .fetch_one(pool)
        .await?;
    Ok((bytes, images))
}

async fn page_images(pool: &PgPool, on: bool) -> Result<()> {
    let set = if on {
        "ALTER SYSTEM SET full_page_writes = on"
    } else {
        "ALTER SYSTEM SET full_page_writes = off"
    };
    sqlx::raw_sql(set).execute(pool).await?;
    sqlx::raw_sql("SELECT pg_reload_conf()")
        .execute(pool)
        .await?;
    let wanted = if on { "on" } else { "off" };
    loop {
        let now: String = sqlx::query_scalar("SHOW full_page_writes")
            .fetch_one(pool)
            .await?;
        if now == wanted {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sizes are shown in whole megabytes"
)]
fn megabytes(bytes: i64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn table(lines: &[Line]) -> String {
    let mut out = String::from(
        "\n| keys | order | a claim: µs | an empty transaction: µs | WAL bytes a claim | right after a checkpoint | of that, page images | table MB | index MB |\n\
         |--:|---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for line in lines {
        let _ = writeln!(
            out,
            "| {} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.2} | {:.0} | {:.0} |",
            line.keys,
            line.order.name(),
            line.claim,
            line.empty,
            line.records,
            line.after_checkpoint,
            line.images,
            megabytes(line.heap),
            megabytes(line.index),
        );
    }
    out
}

fn csv(lines: &[Line]) -> String {
    let mut out = String::from(
        "keys,order,claim_us,empty_us,wal_bytes,wal_bytes_after_checkpoint,page_images_after_checkpoint,table_bytes,index_bytes\n",
    );
    for line in lines {
        let _ = writeln!(
            out,
            "{},\"{}\",{:.1},{:.1},{:.1},{:.1},{:.3},{},{}",
            line.keys,
            line.order.name(),
            line.claim,
            line.empty,
            line.records,
            line.after_checkpoint,
            line.images,
            line.heap,
            line.index,
        );
    }
    out
}
