//! Kafka's protocol: tansu, which keeps everything in memory, with 8 partitions.

mod bare;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use idem_kafka::rdkafka::ClientConfig;
use idem_kafka::{KafkaPublisher, KafkaSource};
use idem_runtime::Source as _;
use idem_tests::server::Kafka;
use tokio::time::timeout;
use uuid::Uuid;

use self::bare::Bare;
use super::arm::{Arm, interleaved};
use super::work;
use crate::args::Args;

pub(super) async fn run(args: &Args) -> Result<()> {
    let server = Kafka::start().await?;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", server.brokers());
    // tansu begins a group after half of it.
    config.set("session.timeout.ms", "6000");
    let bare = Bare::new(&config)?;
    let rounds = args.rounds.unwrap_or(15);
    interleaved(
        "Kafka's protocol, publishing with all confirms",
        publishing(&config, &bare).await?,
        rounds,
    )
    .await?;
    interleaved(
        "Kafka's protocol, consuming with commits",
        consuming(&config, &bare),
        rounds,
    )
    .await
}

async fn publishing(config: &ClientConfig, bare: &Bare) -> Result<Vec<Arm>> {
    const BARE: &str = "bare rdkafka, a callback for each message";
    const TOPIC: &str = "bench.in";

    bare.create(TOPIC).await?;
    let mut arms = vec![Arm::new(BARE, None, {
        let bare = bare.clone();
        move || {
            let bare = bare.clone();
            async move { bare.publish(TOPIC).await }
        }
    })];
    for (name, of_a_key) in [("ours", 1), ("ours, 10 of each key", 10)] {
        let publisher = Arc::new(KafkaPublisher::with(config.clone())?);
        arms.push(Arm::new(name, Some(BARE), move || {
            let publisher = Arc::clone(&publisher);
            async move { work::publish(publisher, TOPIC, of_a_key).await }
        }));
    }
    Ok(arms)
}

fn consuming(config: &ClientConfig, bare: &Bare) -> Vec<Arm> {
    const BARE: &str = "bare rdkafka, a commit each 1,000 messages";

    let first = {
        let bare = bare.clone();
        Arm::new(BARE, None, move || {
            let bare = bare.clone();
            async move {
                let topic = empty(&bare).await?;
                bare.consume(topic).await
            }
        })
    };
    let (bare, config) = (bare.clone(), config.clone());
    let ours = Arm::new("ours", Some(BARE), move || {
        let (bare, config) = (bare.clone(), config.clone());
        async move {
            let topic = empty(&bare).await?;
            let source = KafkaSource::with(config, &topic, [topic.as_str()])?;
            // A group takes seconds to begin, and that is not measured.
            while source.partitions() == 0 {
                let nothing = timeout(Duration::from_millis(20), source.receive()).await;
                ensure!(nothing.is_err(), "the source fails: {nothing:?}");
            }
            bare.publish(&topic).await?;
            work::consume(source, async { Ok(()) }).await
        }
    });
    vec![first, ours]
}

/// A topic of a slice's own, whose name is also that of its group.
async fn empty(bare: &Bare) -> Result<String> {
    let topic = format!("bench.{}", Uuid::now_v7().simple());
    bare.create(&topic).await?;
    Ok(topic)
}
