//! From a queue to handlers: messages a second whose effect is committed and which are
//! acknowledged.

mod arm;
mod backlog;
mod ours;
#[cfg(feature = "peers")]
mod peers;
mod source;

use std::time::Duration;

use anyhow::{Context as _, Result};
use idem_runtime::Inbox;
use idem_tests::server::{Database, Options, Postgres};
use indicatif::{ProgressBar, ProgressStyle};

use self::arm::Arm;
pub(crate) use self::backlog::{Progress, Queue};
use self::ours::{CONCURRENCY, INBOX};
pub(crate) use self::source::{Counted, KIND, Local};
use crate::args::Args;
use crate::postgres::{connect_many, set_up_ours};
use crate::stats::quantile;

const HAND: &str = "hand-written, called from 8 tasks";
const LOCAL: &str = "our consumer, from memory";

pub(crate) async fn run(args: &Args) -> Result<()> {
    let server = Postgres::start(Options::default().durable()).await?;
    let database = server.database().await;
    let mut arms = ours(&database).await?;
    #[cfg(feature = "peers")]
    let databases = [
        server.database().await,
        server.database().await,
        server.database().await,
    ];
    #[cfg(feature = "peers")]
    arms.extend(peers::arms(databases.each_ref().map(Database::url)).await?);
    if let Some(text) = &args.arms {
        arms.retain(|arm| arm.name == HAND || arm.name.contains(text.as_str()));
    }
    let rounds = args.rounds.unwrap_or(15);
    let style = "{prefix} {wide_bar} {pos}/{len} {elapsed}/{duration} {msg:30}";
    let progress = ProgressBar::new(((rounds + 1) * arms.len()) as u64)
        .with_style(ProgressStyle::with_template(style)?)
        .with_prefix("consuming");
    progress.enable_steady_tick(Duration::from_millis(500));
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); arms.len()];
    // The first round warms up.
    for round in 0..=rounds {
        for (arm, rates) in arms.iter_mut().zip(&mut rates) {
            progress.set_message(arm.name);
            // On a worker, not on the thread that waits for the runtime.
            let rate = tokio::spawn((arm.slice)()).await?;
            let rate = rate.with_context(|| format!("{}, round {round}", arm.name))?;
            if round > 0 {
                rates.push(rate);
            }
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    report(&arms, &rates);
    Ok(())
}

async fn ours(database: &Database) -> Result<Vec<Arm>> {
    let url = database.url();
    set_up_ours(url).await?;
    let (hand, direct) = (
        connect_many(url, CONCURRENCY).await?,
        connect_many(url, CONCURRENCY).await?,
    );
    // Two connections are the consumer's own.
    let (local, queue) = (
        connect_many(url, CONCURRENCY + 2).await?,
        connect_many(url, CONCURRENCY + 2).await?,
    );
    let inbox = Inbox::new(queue.clone(), INBOX);
    Ok(vec![
        Arm::new(HAND, "", move || ours::by_hand(hand.clone())),
        Arm::new("our handler, called from 8 tasks", "", move || {
            ours::by_handler(direct.clone())
        }),
        Arm::new(LOCAL, "", move || ours::from_memory(local.clone())),
        Arm::new("our consumer, from its inbox", "", move || {
            ours::from_inbox(queue.clone(), inbox.clone())
        }),
    ])
}

fn report(arms: &[Arm], rates: &[Vec<f64>]) {
    let at = |rates: &Vec<f64>, share| quantile(rates.clone(), share).unwrap_or(f64::NAN);
    let of = |name: &str| {
        let place = arms.iter().position(|arm| arm.name == name);
        place.map_or(f64::NAN, |place| at(&rates[place], 0.5))
    };
    let (hand, local) = (of(HAND), of(LOCAL));
    println!(
        "\nConsuming at concurrency {CONCURRENCY}, slices of {} messages (median; 10th and 90th percentile)\n",
        backlog::MESSAGES
    );
    println!("| | messages/s | from | to | × hand-written | ours from memory × this | without |");
    println!("|---|--:|--:|--:|--:|--:|---|");
    for (arm, rates) in arms.iter().zip(rates) {
        let median = at(rates, 0.5);
        println!(
            "| {} | {median:.0} | {:.0} | {:.0} | {:.2} | {:.2} | {} |",
            arm.name,
            at(rates, 0.1),
            at(rates, 0.9),
            median / hand,
            local / median,
            arm.without
        );
    }
}
