//! Many messages in one transaction: messages a second of several connections at once.

mod arm;
mod consumed;
mod mariadb;
mod postgres;
mod sqlite;
mod work;

use anyhow::Result;
use idem_tests::server::{self, MariaDb, Options, Postgres};
use indicatif::{ProgressBar, ProgressStyle};

use self::arm::{Arm, BARE, CONNECTIONS, HAND};
use crate::args::Args;
use crate::stats::quantile;

pub(crate) async fn run(args: &Args) -> Result<()> {
    if args.wants("postgres") {
        let server = Postgres::start(Options::default().durable()).await?;
        let database = server.database().await;
        let mut arms = postgres::arms(database.url()).await?;
        arms.extend(consumed::arms(database.url()).await?);
        measured(args, "PostgreSQL", arms).await?;
    }
    if args.wants("mariadb") {
        let server = MariaDb::start(Options::default().durable()).await?;
        let database = server.database().await;
        measured(args, "MariaDB", mariadb::arms(database.url()).await?).await?;
    }
    if args.wants("sqlite") {
        let file = server::sqlite();
        measured(args, "SQLite", sqlite::arms(file.url()).await?).await?;
    }
    Ok(())
}

async fn measured(args: &Args, database: &'static str, mut arms: Vec<Arm>) -> Result<()> {
    if let Some(text) = &args.arms {
        arms.retain(|arm| [HAND, BARE].contains(&arm.name) || arm.name.contains(text.as_str()));
    }
    let rounds = args.rounds.unwrap_or(20);
    let style = "{prefix} {wide_bar} {pos}/{len} {elapsed}/{duration} {msg:40}";
    let progress = ProgressBar::new((rounds * arms.len()) as u64)
        .with_style(ProgressStyle::with_template(style)?)
        .with_prefix(database);
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); arms.len()];
    // The first round warms up.
    for round in 0..=rounds {
        for (arm, rates) in arms.iter().zip(&mut rates) {
            progress.set_message(arm.name);
            let rate = arm.rate(CONNECTIONS).await?;
            if round > 0 {
                rates.push(rate);
                progress.inc(1);
            }
        }
    }
    progress.finish_and_clear();
    report(database, &arms, &rates);
    Ok(())
}

fn report(database: &str, arms: &[Arm], rates: &[Vec<f64>]) {
    let at = |rates: &Vec<f64>, share| quantile(rates.clone(), share).unwrap_or(f64::NAN);
    let of = |name: &str| {
        let place = arms.iter().position(|arm| arm.name == name);
        place.map_or(f64::NAN, |place| at(&rates[place], 0.5))
    };
    let (hand, bare) = (of(HAND), of(BARE));
    println!(
        "\n{database}, {CONNECTIONS} transactions at once (median; 10th and 90th percentile)\n"
    );
    println!("| | messages/s | from | to | × hand-written | × bare |\n|---|--:|--:|--:|--:|--:|");
    for (arm, rates) in arms.iter().zip(rates) {
        let median = at(rates, 0.5);
        println!(
            "| {} | {median:.0} | {:.0} | {:.0} | {:.2} | {:.2} |",
            arm.name,
            at(rates, 0.1),
            at(rates, 0.9),
            median / hand,
            median / bare,
        );
    }
}
