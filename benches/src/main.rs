//! Side by side in one run: a bare transaction, hand-written dedup, this toolkit, and its peers.

mod args;
mod arm;
mod batches;
mod brokers;
mod consumer;
mod growth;
mod inbox;
mod machine;
mod mariadb;
mod measure;
mod plot;
mod postgres;
mod relay;
mod report;
mod saturated;
mod saturation;
mod sqlite;
mod stats;
mod work;

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use idem_tests::proxy::Proxy;
use idem_tests::server::{self, Database, MariaDb, Options, Postgres};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::{Args, HELP};
use crate::arm::{Arm, name};
use crate::measure::Plan;
use crate::report::Set;

/// The links, as they are called in every table and file.
const DIRECT: &str = "no delay";
/// As far apart as two machines of one availability zone.
const ZONE: (&str, Duration) = ("0.1 ms each way", Duration::from_micros(100));
const DELAYED: (&str, Duration) = ("1 ms each way", Duration::from_millis(1));
const SLOW_FLUSH: &str = "a flush 1 ms longer";

#[tokio::main]
async fn main() -> Result<()> {
    let Some(args) = Args::parse(std::env::args().skip(1))? else {
        println!("{HELP}");
        return Ok(());
    };
    fs::create_dir_all(&args.out).with_context(|| format!("can't make {}", args.out.display()))?;
    println!("{}", machine::describe()?);
    if args.growth {
        return growth::run(&args).await;
    }
    if args.saturation {
        return saturation::run(&args).await;
    }
    if args.relay {
        return relay::run(&args).await;
    }
    if args.consumer {
        return consumer::run(&args).await;
    }
    if args.batches {
        return batches::run(&args).await;
    }
    if args.inbox {
        return inbox::run(&args).await;
    }
    if args.brokers {
        return brokers::run(&args).await;
    }
    let mut sets = Vec::new();
    if args.wants("postgres") {
        on_postgres(&args, &mut sets).await?;
    }
    if args.wants("mariadb") {
        on_mariadb(&args, &mut sets).await?;
    }
    if args.wants("sqlite") {
        let file = server::sqlite();
        println!("\nSQLite: {}", sqlite::SETTINGS);
        let arms = sqlite::arms(file.url()).await?;
        sets.push(measured(&args, "SQLite", DIRECT, arms).await?);
    }
    println!("\n{}", report::aims(&sets));
    report::write_csv(&args.out, &sets)?;
    report::write(&args.out.join("ratios.svg"), &plot::svg(&sets))
}

async fn on_postgres(args: &Args, sets: &mut Vec<Set>) -> Result<()> {
    let server = Postgres::start(Options::default().durable()).await?;
    println!("\nPostgreSQL: {}", postgres::SETTINGS);
    let databases = [
        server.database().await,
        server.database().await,
        server.database().await,
        server.database().await,
    ];
    let urls = databases.each_ref().map(Database::url);
    postgres::set_up(urls).await?;
    sets.push(measured(args, "PostgreSQL", DIRECT, postgres::arms(urls).await?).await?);
    if !args.direct {
        let proxy = Proxy::start(server.address())?;
        let through = databases
            .each_ref()
            .map(|database| database.url_through(proxy.address()));
        for (link, delay) in [ZONE, DELAYED] {
            proxy.delay(Duration::ZERO);
            let arms = postgres::arms(through.each_ref().map(String::as_str)).await?;
            proxy.delay(delay);
            sets.push(measured(args, "PostgreSQL", link, arms).await?);
        }
        postgres::slow_down_flushes(urls).await?;
        sets.push(measured(args, "PostgreSQL", SLOW_FLUSH, postgres::arms(urls).await?).await?);
    }
    Ok(())
}

async fn on_mariadb(args: &Args, sets: &mut Vec<Set>) -> Result<()> {
    let server = MariaDb::start(Options::default().durable()).await?;
    println!("\nMariaDB: {}", mariadb::SETTINGS);
    let database = server.database().await;
    mariadb::set_up(database.url()).await?;
    sets.push(
        measured(
            args,
            "MariaDB",
            DIRECT,
            mariadb::arms(database.url()).await?,
        )
        .await?,
    );
    if !args.direct {
        let proxy = Proxy::start(server.address())?;
        let arms = mariadb::arms(&database.url_through(proxy.address())).await?;
        let (link, delay) = DELAYED;
        proxy.delay(delay);
        sets.push(measured(args, "MariaDB", link, arms).await?);
    }
    Ok(())
}

async fn measured(
    args: &Args,
    database: &'static str,
    link: &'static str,
    mut arms: Vec<Arm>,
) -> Result<Set> {
    if let Some(text) = &args.arms {
        let chosen: Vec<&str> = arms
            .iter()
            .map(|arm| arm.name)
            .filter(|name| name.contains(text))
            .collect();
        let rivals: Vec<&str> = chosen.iter().filter_map(|arm| name::rival(arm)).collect();
        arms.retain(|arm| {
            arm.name == name::BARE || chosen.contains(&arm.name) || rivals.contains(&arm.name)
        });
    }
    let usual = if link == DELAYED.0 { 60 } else { 150 };
    let plan = Plan {
        warm_up: 4,
        rounds: args.rounds.unwrap_or(usual),
        block: 6,
    };
    let steps = (plan.warm_up + plan.rounds) * arms.len();
    let style = "{prefix} {wide_bar} {pos}/{len} {elapsed}/{duration} {msg:40}";
    let progress = ProgressBar::new(steps as u64)
        .with_style(ProgressStyle::with_template(style)?)
        .with_prefix(format!("{database}, {link}"));
    progress.enable_steady_tick(Duration::from_millis(200));
    // On a worker, as a service's handlers are, not on the thread that waits for the runtime.
    let times = tokio::spawn(measure::interleaved(arms, plan, progress.clone())).await??;
    progress.finish_and_clear();
    let set = Set::new(database, link, times);
    println!("{}", report::table(&set));
    Ok(set)
}
