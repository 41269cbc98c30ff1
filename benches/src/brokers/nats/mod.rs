//! NATS JetStream: file storage, one server, the newest one that the tests know.

mod bare;

use std::sync::Arc;

use anyhow::Result;
use idem_nats::{DurableConsumer, NatsPublisher, NatsSource};
use idem_tests::server::{Nats, NatsRelease, Options};
use uuid::Uuid;

use self::bare::Bare;
use super::arm::{Arm, interleaved};
use super::work;
use crate::args::Args;

/// Where the arms that publish send to: a stream and its subject.
const IN: (&str, &str) = ("IN", "bench.in");

/// Where the arms that consume take from.
const OUT: (&str, &str) = ("OUT", "bench.out");

pub(super) async fn run(args: &Args) -> Result<()> {
    let server = Nats::start(NatsRelease::Newest, Options::default()).await?;
    let url = server.url();
    let bare = Bare::connect(&url).await?;
    for (stream, subject) in [IN, OUT] {
        bare.declare(stream, &DurableConsumer::new([subject])?)
            .await?;
    }
    let rounds = args.rounds.unwrap_or(15);
    interleaved(
        "JetStream, publishing with acks",
        publishing(&url, &bare)?,
        rounds,
    )
    .await?;
    interleaved(
        "JetStream, consuming with double acks",
        consuming(&url, &bare),
        rounds,
    )
    .await
}

fn publishing(url: &str, bare: &Bare) -> Result<Vec<Arm>> {
    const BARE: &str = "bare async-nats";

    let mut arms = vec![Arm::new(BARE, None, {
        let bare = bare.clone();
        move || {
            let bare = bare.clone();
            async move {
                let rate = bare.publish(IN.1).await?;
                bare.purge(IN.0).await?;
                Ok(rate)
            }
        }
    })];
    for (name, concurrency, of_a_key) in [
        ("ours, 256 at once", 256, 1),
        ("ours, all at once", work::BATCH, 1),
        ("ours, 10 of each key", work::BATCH, 10),
    ] {
        let publisher = Arc::new(NatsPublisher::new(url)?.concurrency(concurrency));
        let bare = bare.clone();
        arms.push(Arm::new(name, Some(BARE), move || {
            let (bare, publisher) = (bare.clone(), Arc::clone(&publisher));
            async move {
                let rate = work::publish(publisher, IN.1, of_a_key).await?;
                bare.purge(IN.0).await?;
                Ok(rate)
            }
        }));
    }
    Ok(arms)
}

fn consuming(url: &str, bare: &Bare) -> Vec<Arm> {
    const BARE: [&str; 2] = [
        "bare async-nats, prefetch 100",
        "bare async-nats, prefetch 1,000",
    ];

    let mut arms = Vec::new();
    for (name, prefetch) in [(BARE[0], 100), (BARE[1], 1_000)] {
        let bare = bare.clone();
        arms.push(Arm::new(name, None, move || {
            let bare = bare.clone();
            async move {
                let durable = filled(&bare).await?;
                let consumer = bare.durable(OUT.0, &durable, &settings()?).await?;
                let rate = bare::consume(consumer, prefetch).await?;
                bare.purge(OUT.0).await?;
                Ok(rate)
            }
        }));
    }
    for (name, rival, prefetch) in [
        ("ours, prefetch 100", BARE[0], 100),
        ("ours, prefetch 1,000", BARE[1], 1_000),
    ] {
        let (bare, url) = (bare.clone(), url.to_owned());
        arms.push(Arm::new(name, Some(rival), move || {
            let (bare, url) = (bare.clone(), url.clone());
            async move {
                let durable = filled(&bare).await?;
                bare.durable(OUT.0, &durable, &settings()?).await?;
                let source = NatsSource::new(&url, OUT.0, &durable)?.prefetch(prefetch);
                // A double ack leaves nothing to wait for.
                let rate = work::consume(source, async { Ok(()) }).await?;
                bare.purge(OUT.0).await?;
                Ok(rate)
            }
        }));
    }
    arms
}

fn settings() -> Result<DurableConsumer> {
    Ok(DurableConsumer::new([OUT.1])?.max_ack_pending(2_000))
}

/// Fills the stream, and gives the name of a consumer that has seen nothing.
async fn filled(bare: &Bare) -> Result<String> {
    bare.publish(OUT.1).await?;
    Ok(Uuid::now_v7().simple().to_string())
}
