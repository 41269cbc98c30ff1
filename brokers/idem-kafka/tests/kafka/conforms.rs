//! The suites for publishers and sources.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use idem_kafka::{KafkaPublisher, KafkaSource};
use idem_runtime::{Arrival, Delivery as _, EventId, Incoming, Message, Source as _};
use idem_testing::conformance::{
    self, BrokerFault, Capabilities, Kept, PublishTarget, SourceTarget, Unsupported, WireMessage,
};
use idem_tests::TestDb;
use sqlx::Postgres;
use tokio::time::{sleep, timeout};

use crate::broker::{Broker, LEAVES, SESSION};

/// Of each partition.
const PREFETCH: usize = 16;

/// So many that the suite's killer is alone in its own: what is settled behind a message that is not
/// is not committed.
const PARTITIONS: i32 = 12;

/// A topic for each queue, and a group of its name.
struct Topics {
    broker: Broker,
    assignor: &'static str,
}

impl SourceTarget for Topics {
    type Source = KafkaSource;

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::none("Kafka does not count deliveries", PREFETCH);
        capabilities.restart = Err(Unsupported("tansu keeps everything in memory"));
        capabilities.rebalance = Ok(());
        capabilities.ordered = Ok(());
        // By the source itself.
        capabilities.delayed = Ok(());
        capabilities
    }

    async fn create(&self, queue: &str) {
        self.broker.create(queue, PARTITIONS).await;
    }

    async fn source(&self, queue: &str) -> KafkaSource {
        sleep(LEAVES).await;
        let mut config = self.broker.member();
        config.set("partition.assignment.strategy", self.assignor);
        let source = KafkaSource::with(config, queue, [queue]).unwrap();
        let source = source.prefetch(PREFETCH).window(100);
        // These cases ask that what is sent to a source that is there counts as a first delivery.
        if ["conformance-fields", "conformance-given-back"]
            .iter()
            .any(|case| queue.starts_with(case))
        {
            joined(&source).await;
        }
        source
    }

    async fn send(&self, queue: &str, messages: Vec<WireMessage>) {
        self.broker.send(queue, &messages);
    }

    async fn kept(&self, queue: &str) -> Kept {
        Kept {
            waiting: self.broker.lag(queue, queue),
            // A broker of Kafka does not know.
            handed_out: 0,
        }
    }

    /// For as long as a session lasts: Kafka takes nothing from a member whose connection alone is
    /// lost.
    async fn cut_connections(&self) -> Result<(), Unsupported> {
        let proxy = self.broker.server.proxy();
        proxy.refuse(true);
        proxy.cut_all();
        sleep(SESSION + SESSION / 4).await;
        proxy.refuse(false);
        Ok(())
    }
}

/// Waits until it has partitions. Nothing is there that it could receive.
pub(crate) async fn joined(source: &KafkaSource) {
    let limit = Instant::now() + Duration::from_secs(30);
    while source.partitions() == 0 {
        assert!(Instant::now() < limit, "the group assigns nothing");
        let received = timeout(Duration::from_millis(20), source.receive()).await;
        assert!(received.is_err(), "{received:?}");
    }
}

async fn source_keeps_what_a_source_must(assignor: &'static str) {
    let db = TestDb::<Postgres>::empty(2).await;
    let broker = Broker::start().await;
    let topics = Topics { broker, assignor };
    let url = db.database().url();
    let suite = conformance::source::<Postgres, _>(topics, url);
    let report = Box::pin(suite).await;
    report.assert_holds();
    assert_eq!(report.left_out().count(), 3);
}

#[tokio::test]
async fn the_source_keeps_what_a_source_must_with_a_cooperative_group() {
    source_keeps_what_a_source_must("cooperative-sticky").await;
}

#[tokio::test]
async fn the_source_keeps_what_a_source_must_with_an_eager_group() {
    source_keeps_what_a_source_must("range").await;
}

/// A topic, and what arrives there.
struct Events {
    broker: Broker,
    arrived: Arc<Mutex<Vec<Message>>>,
}

impl Events {
    async fn start() -> Self {
        let broker = Broker::start().await;
        broker.create("events", 4).await;
        let arrived = Arc::<Mutex<Vec<Message>>>::default();
        let source = KafkaSource::with(broker.member(), "all", ["events"]).unwrap();
        let taken = Arc::clone(&arrived);
        tokio::spawn(async move {
            while let Some(arrival) = source.receive().await {
                if let Ok(Arrival::Delivery(delivery)) = arrival {
                    let message = message(delivery.incoming().clone());
                    taken.lock().unwrap().push(message);
                    tokio::spawn(delivery.ack());
                }
            }
        });
        Self { broker, arrived }
    }
}

fn message(incoming: Incoming) -> Message {
    let id = EventId::new(incoming.id.parse().unwrap());
    let mut message = Message::new(id, incoming.topic, incoming.kind, incoming.body);
    message.source = incoming.source;
    message.key = incoming.key;
    message.headers = incoming.headers;
    message.content_type = incoming.content_type.unwrap();
    message.created_at = incoming.published_at.unwrap();
    message
}

impl PublishTarget for Events {
    type Publisher = KafkaPublisher;

    async fn publisher(&self) -> KafkaPublisher {
        let mut config = self.broker.config();
        config.set("message.max.bytes", "2000000");
        let publisher = KafkaPublisher::with(config).unwrap();
        publisher.map_topic(|_| "events".into())
    }

    async fn received(&self) -> Vec<Message> {
        std::mem::take(&mut self.arrived.lock().unwrap())
    }

    async fn inject(&self, fault: BrokerFault) -> Result<(), Unsupported> {
        if fault != BrokerFault::Down {
            return Err(Unsupported("Kafka treats all messages of a topic alike"));
        }
        let proxy = self.broker.server.proxy();
        proxy.refuse(true);
        proxy.cut_all();
        Ok(())
    }

    async fn restore(&self) {
        self.broker.server.proxy().refuse(false);
    }
}

#[tokio::test]
async fn the_publisher_keeps_what_a_publisher_must() {
    let report = conformance::publisher(&Events::start().await).await;
    report.assert_holds();
    assert_eq!(report.left_out().count(), 2);
}
