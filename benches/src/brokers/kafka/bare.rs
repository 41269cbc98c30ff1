//! rdkafka as it comes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use idem_kafka::rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use idem_kafka::rdkafka::client::DefaultClientContext;
use idem_kafka::rdkafka::config::FromClientConfigAndContext as _;
use idem_kafka::rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use idem_kafka::rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use idem_kafka::rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};
use idem_kafka::rdkafka::{ClientConfig, ClientContext};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::brokers::work::{BATCH, KIND, MESSAGES, SOURCE, payload, publish_bare, rate};

/// Tells each call of its confirms.
struct Confirms;

impl ClientContext for Confirms {}

impl ProducerContext for Confirms {
    type DeliveryOpaque = Box<UnboundedSender<bool>>;

    fn delivery(&self, result: &DeliveryResult<'_>, call: Box<UnboundedSender<bool>>) {
        // A call that has failed hears nothing more.
        let _ = call.send(result.is_ok());
    }
}

#[derive(Clone)]
pub(super) struct Bare {
    config: ClientConfig,
    producer: Arc<ThreadedProducer<Confirms>>,
}

impl Bare {
    pub(super) fn new(config: &ClientConfig) -> Result<Self> {
        let mut producing = config.clone();
        // As ours.
        producing.set("enable.idempotence", "true");
        producing.set("linger.ms", "0");
        producing.set("partitioner", "murmur2_random");
        let producer = ThreadedProducer::from_config_and_context(&producing, Confirms)?;
        Ok(Self {
            config: config.clone(),
            producer: Arc::new(producer),
        })
    }

    pub(super) async fn create(&self, topic: &str) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config.create()?;
        let topic = NewTopic::new(topic, 8, TopicReplication::Fixed(1));
        let made = admin.create_topics([&topic], &AdminOptions::new()).await?;
        let failed = made.into_iter().find_map(Result::err);
        failed.map_or(Ok(()), |error| Err(anyhow!("{error:?}")))
    }

    /// Several times at once: publishes a batch, then waits for its confirms.
    pub(super) async fn publish(&self, topic: &str) -> Result<f64> {
        publish_bare(|call| publish(Arc::clone(&self.producer), topic.to_owned(), call)).await
    }

    /// Takes all that waits, and commits now and then.
    pub(super) async fn consume(&self, topic: String) -> Result<f64> {
        let mut config = self.config.clone();
        config.set("group.id", &topic);
        config.set("enable.auto.commit", "false");
        config.set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = config.create()?;
        consumer.subscribe(&[&topic])?;
        let joined = spawn_blocking(move || {
            while consumer.assignment()?.count() == 0 {
                // Nothing is there yet.
                let nothing = consumer.poll(Duration::from_millis(20)).is_none();
                ensure!(nothing, "a message came before it was sent");
            }
            Ok(consumer)
        });
        let consumer = joined.await??;
        self.publish(&topic).await?;
        spawn_blocking(move || consume(&consumer)).await?
    }
}

async fn publish(
    producer: Arc<ThreadedProducer<Confirms>>,
    topic: String,
    call: usize,
) -> Result<()> {
    let payload = payload();
    let (sender, mut confirms) = unbounded_channel();
    for place in 0..BATCH {
        let key = format!("key-{}", call * BATCH + place);
        let record = BaseRecord::with_opaque_to(&topic, Box::new(sender.clone()))
            .key(&key)
            .payload(&payload)
            .headers(headers(&topic, &key));
        producer.send(record).map_err(|(error, _)| error)?;
    }
    for _ in 0..BATCH {
        let confirmed = confirms.recv().await.context("no more confirms")?;
        ensure!(confirmed, "a message was not confirmed");
    }
    Ok(())
}

/// As large as those of ours, under the same names.
fn headers(topic: &str, key: &str) -> OwnedHeaders {
    let id = Uuid::now_v7().to_string();
    let mut headers = OwnedHeaders::new_with_capacity(8);
    for (key, value) in [
        ("content-type", "application/json"),
        ("ce_specversion", "1.0"),
        ("ce_id", &*id),
        ("ce_source", SOURCE),
        ("ce_type", KIND),
        ("ce_time", "2026-11-30T12:00:00.123456Z"),
        ("ce_topic", topic),
        ("ce_partitionkey", key),
    ] {
        let value = Some(value);
        headers = headers.insert(Header { key, value });
    }
    headers
}

fn consume(consumer: &BaseConsumer) -> Result<f64> {
    let start = Instant::now();
    let mut taken = 0;
    while taken < MESSAGES {
        let Some(message) = consumer.poll(Duration::from_secs(30)) else {
            anyhow::bail!("no more messages");
        };
        message?;
        taken += 1;
        if taken.is_multiple_of(1_000) {
            consumer.commit_consumer_state(CommitMode::Async)?;
        }
    }
    consumer.commit_consumer_state(CommitMode::Sync)?;
    Ok(rate(start))
}
