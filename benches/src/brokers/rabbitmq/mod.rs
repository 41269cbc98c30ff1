//! RabbitMQ: quorum queues, persistent messages, one node.

mod bare;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use idem_rabbitmq::{QuorumQueue, RabbitMqPublisher, RabbitMqSource};
use idem_tests::server::{Options, RabbitMq};

use self::bare::{Acks, Bare};
use super::arm::{Arm, interleaved};
use super::work;
use crate::args::Args;

/// Where the arms that publish send to.
const IN: &str = "bench.in";

/// Where the arms that consume take from.
const OUT: &str = "bench.out";

pub(super) async fn run(args: &Args) -> Result<()> {
    let server = Arc::new(RabbitMq::start(Options::default()).await?);
    let bare = Bare::connect(&server.url()).await?;
    let arguments = || QuorumQueue::new(20).arguments();
    bare.declare(IN, arguments()).await?;
    bare.declare(OUT, arguments()).await?;
    let rounds = args.rounds.unwrap_or(15);
    interleaved(
        "RabbitMQ, publishing with confirms",
        publishing(&server, &bare)?,
        rounds,
    )
    .await?;
    interleaved(
        "RabbitMQ, consuming with acks",
        consuming(&server, &bare),
        rounds,
    )
    .await?;
    Ok(())
}

/// Ends when the queue holds nothing, also nothing unacknowledged. A quorum queue may not have all
/// acks yet when their channel answers, and what it lacks when the channel is closed comes again.
async fn emptied(server: Arc<RabbitMq>) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let left = server.queue(OUT)?;
        if left.ready + left.unacknowledged == 0 {
            return Ok(());
        }
        ensure!(Instant::now() < end, "not acknowledged: {left:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn publishing(server: &RabbitMq, bare: &Bare) -> Result<Vec<Arm>> {
    const BARE: &str = "bare lapin";

    let publisher = Arc::new(RabbitMqPublisher::new(&server.url())?);
    let mut arms = vec![Arm::new(BARE, None, {
        let bare = bare.clone();
        move || {
            let bare = bare.clone();
            async move {
                let rate = bare.publish(IN).await?;
                bare.purge(IN).await?;
                Ok(rate)
            }
        }
    })];
    for (name, of_a_key) in [
        ("ours, each of its own key", 1),
        ("ours, 10 of each key", 10),
    ] {
        let (bare, publisher) = (bare.clone(), Arc::clone(&publisher));
        arms.push(Arm::new(name, Some(BARE), move || {
            let (bare, publisher) = (bare.clone(), Arc::clone(&publisher));
            async move {
                let rate = work::publish(publisher, IN, of_a_key).await?;
                bare.purge(IN).await?;
                Ok(rate)
            }
        }));
    }
    Ok(arms)
}

fn consuming(server: &Arc<RabbitMq>, bare: &Bare) -> Vec<Arm> {
    const BARE: [&str; 2] = ["bare lapin, prefetch 100", "bare lapin, prefetch 1,000"];

    let mut arms = Vec::new();
    for (name, prefetch, how) in [
        (BARE[0], 100, Acks::InTasks),
        (BARE[1], 1_000, Acks::InTasks),
        (
            "bare lapin, prefetch 1,000, acks one by one",
            1_000,
            Acks::OneByOne,
        ),
    ] {
        let (bare, server) = (bare.clone(), Arc::clone(server));
        arms.push(Arm::new(name, None, move || {
            let (bare, server) = (bare.clone(), Arc::clone(&server));
            async move {
                bare.publish(OUT).await?;
                let url = server.url();
                bare::consume(&url, OUT, prefetch, how, emptied(server)).await
            }
        }));
    }
    for (name, rival, prefetch) in [
        ("ours, prefetch 100", BARE[0], 100),
        ("ours, prefetch 1,000", BARE[1], 1_000),
    ] {
        let (bare, server) = (bare.clone(), Arc::clone(server));
        arms.push(Arm::new(name, Some(rival), move || {
            let (bare, server) = (bare.clone(), Arc::clone(&server));
            async move {
                bare.publish(OUT).await?;
                let source = RabbitMqSource::new(&server.url(), OUT)?.prefetch(prefetch);
                work::consume(source, emptied(server)).await
            }
        }));
    }
    arms
}
