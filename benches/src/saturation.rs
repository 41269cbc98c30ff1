//! Calls a second of several connections at once: what client and server can do together.

use crate::args::Args;
use crate::arm::name;
use crate::postgres;
use anyhow::Result;
use idem_tests::server::{Options, Postgres};
use indicatif::{ProgressBar, ProgressStyle};

const CONNECTIONS: u32 = 8;

pub(crate) async fn run(args: &Args) -> Result<()> {
    let server = Postgres::start(Options::default().durable()).await?;
    let databases = [
        server.database().await,
        server.database().await,
        server.database().await,
        server.database().await,
    ];
    let urls = databases.each_ref().map(idem_tests::server::Database::url);
    postgres::set_up(urls).await?;
    let arms = postgres::saturated(urls[0], CONNECTIONS).await?;
    let rounds = args.rounds.unwrap_or(30);
    let style = "{prefix} {wide_bar} {pos}/{len} {elapsed}/{duration} {msg:20}";
    let progress = ProgressBar::new((rounds * arms.len()) as u64)
        .with_style(ProgressStyle::with_template(style)?)
        .with_prefix("PostgreSQL at saturation");
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
    let medians: Vec<f64> = rates.iter_mut().map(|rates| median(rates)).collect();
    println!("\n{CONNECTIONS} connections, calls a second\n");
    println!("| | calls/s | × bare | × hand-written |\n|---|--:|--:|--:|");
    let of = |name: &str| {
        let place = arms.iter().position(|arm| arm.name == name);
        place.map_or(f64::NAN, |place| medians[place])
    };
    for (arm, rate) in arms.iter().zip(&medians) {
        println!(
            "| {} | {rate:.0} | {:.2} | {:.2} |",
            arm.name,
            rate / of(name::BARE),
            rate / of(name::HAND)
        );
    }
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 0 {
        f64::midpoint(values[half - 1], values[half])
    } else {
        values[half]
    }
}
