//! RabbitMQ: quorum queues, persistent messages, one node.

mod bare;

use std::sync::Arc;

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
    let server = RabbitMq::start(Options::default()).await?;
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
    let left = server.queue(OUT)?;
    ensure!(left.ready + left.unacknowledged == 0, "left over: {left:?}");
    Ok(())
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

fn consuming(server: &RabbitMq, bare: &Bare) -> Vec<Arm> {
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
        let (bare, url) = (bare.clone(), server.url());
        arms.push(Arm::new(name, None, move || {
            let (bare, url) = (bare.clone(), url.clone());
            async move {
                bare.publish(OUT).await?;
                bare::consume(&url, OUT, prefetch, how).await
            }
        }));
    }
    for (name, rival, prefetch) in [
        ("ours, prefetch 100", BARE[0], 100),
        ("ours, prefetch 1,000", BARE[1], 1_000),
    ] {
        let (bare, url) = (bare.clone(), server.url());
        arms.push(Arm::new(name, Some(rival), move || {
            let (bare, url) = (bare.clone(), url.clone());
            async move {
                bare.publish(OUT).await?;
                let source = RabbitMqSource::new(&url, OUT)?.prefetch(prefetch);
                work::consume(source).await
            }
        }));
    }
    arms
}
