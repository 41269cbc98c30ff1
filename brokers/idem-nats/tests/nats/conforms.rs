//! The suites for publishers and sources.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use idem_nats::async_nats::jetstream::stream;
use idem_nats::{DurableConsumer, NatsPublisher, NatsSource};
use idem_runtime::{Arrival, Delivery as _, EventId, Incoming, Message, Source as _};
use idem_testing::conformance::{
    self, BrokerFault, Capabilities, Kept, Oddity, PublishTarget, SourceTarget, Unsupported,
    WireMessage,
};
use idem_tests::TestDb;
use idem_tests::server::NatsRelease;
use sqlx::Postgres;

use crate::broker::Broker;

const PREFETCH: usize = 16;

const DURABLE: &str = "suite";

/// A stream for each queue, and a durable consumer, which the source declares.
struct Streams(Broker);

impl SourceTarget for Streams {
    type Source = NatsSource;

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::none("", PREFETCH);
        capabilities.restart = Ok(());
        capabilities.rebalance = Err(Unsupported("a stream of NATS has no partitions"));
        // Where one message is handed out at a time.
        capabilities.ordered = Ok(());
        capabilities.delayed = Ok(());
        capabilities.counts = Ok(());
        capabilities.deadline = Some(Duration::from_secs(1));
        capabilities
    }

    async fn create(&self, queue: &str) {
        let context = self.0.context();
        let declared = durable(queue);
        context.create_stream(declared.stream(queue)).await.unwrap();
        let consumer = context.create_consumer_on_stream(declared.consumer(DURABLE), queue);
        consumer.await.unwrap();
    }

    async fn source(&self, queue: &str) -> NatsSource {
        let source = NatsSource::new(self.0.url(), queue, DURABLE).unwrap();
        source.prefetch(PREFETCH).declare(durable(queue))
    }

    async fn send(&self, queue: &str, messages: Vec<WireMessage>) {
        self.0.send(queue, messages).await;
    }

    async fn kept(&self, queue: &str) -> Kept {
        let info = self.0.info(queue, DURABLE).await;
        Kept {
            waiting: usize::try_from(info.num_pending).unwrap(),
            handed_out: info.num_ack_pending,
        }
    }

    async fn cut_connections(&self) -> Result<(), Unsupported> {
        self.0.proxy.cut_all();
        Ok(())
    }

    async fn restart(&self) {
        self.0.restart().await;
    }
}

fn durable(queue: &str) -> DurableConsumer {
    let declared = DurableConsumer::new([queue]).unwrap();
    let declared = declared.ack_wait(Duration::from_secs(1));
    if queue.starts_with("conformance-ordered") {
        declared.in_order()
    } else {
        declared
    }
}

async fn source_keeps_what_a_source_must(release: NatsRelease) {
    let db = TestDb::<Postgres>::empty(2).await;
    let streams = Streams(Broker::start(release).await);
    let suite = conformance::source::<Postgres, _>(streams, db.database().url());
    let report = Box::pin(suite).await;
    report.assert_holds();
    assert_eq!(report.left_out().count(), 1);
}

#[tokio::test]
async fn the_source_keeps_what_a_source_must_with_the_oldest_server() {
    source_keeps_what_a_source_must(NatsRelease::Oldest).await;
}

#[tokio::test]
async fn the_source_keeps_what_a_source_must_with_the_newest_server() {
    source_keeps_what_a_source_must(NatsRelease::Newest).await;
}

/// A stream of all topics, and what it takes.
struct Events {
    broker: Broker,
    arrived: Arc<Mutex<Vec<Message>>>,
}

impl Events {
    async fn start(release: NatsRelease) -> Self {
        let broker = Broker::start(release).await;
        let subjects = vec!["idem.>".to_owned()];
        let config = stream::Config {
            name: "EVENTS".into(),
            subjects,
            ..stream::Config::default()
        };
        broker.context().create_stream(config).await.unwrap();
        let arrived = Arc::<Mutex<Vec<Message>>>::default();
        let source = NatsSource::new(broker.direct_url(), "EVENTS", "all").unwrap();
        let source = source.declare(DurableConsumer::new(["idem.>"]).unwrap());
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
    type Publisher = NatsPublisher;

    async fn publisher(&self) -> NatsPublisher {
        NatsPublisher::new(self.broker.url()).unwrap()
    }

    async fn received(&self) -> Vec<Message> {
        std::mem::take(&mut self.arrived.lock().unwrap())
    }

    async fn inject(&self, fault: BrokerFault) -> Result<(), Unsupported> {
        if fault != BrokerFault::Down {
            return Err(Unsupported("NATS treats all messages of a stream alike"));
        }
        self.broker.proxy.refuse(true);
        self.broker.proxy.cut_all();
        Ok(())
    }

    async fn restore(&self) {
        self.broker.proxy.refuse(false);
    }

    fn cannot_carry(&self, oddity: Oddity) -> Option<&'static str> {
        let is_topic = oddity == Oddity::UnicodeTopic;
        is_topic.then_some("a subject of NATS has no blanks")
    }
}

async fn publisher_keeps_what_a_publisher_must(release: NatsRelease) {
    let report = conformance::publisher(&Events::start(release).await).await;
    report.assert_holds();
    assert_eq!(report.left_out().count(), 3);
}

#[tokio::test]
async fn the_publisher_keeps_what_a_publisher_must_with_the_oldest_server() {
    publisher_keeps_what_a_publisher_must(NatsRelease::Oldest).await;
}

#[tokio::test]
async fn the_publisher_keeps_what_a_publisher_must_with_the_newest_server() {
    publisher_keeps_what_a_publisher_must(NatsRelease::Newest).await;
}
