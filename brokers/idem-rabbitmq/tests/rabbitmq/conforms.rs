//! The suites for publishers and sources.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use idem_rabbitmq::lapin::ExchangeKind;
use idem_rabbitmq::lapin::options::{ExchangeDeclareOptions, QueueBindOptions};
use idem_rabbitmq::lapin::types::FieldTable;
use idem_rabbitmq::{QuorumQueue, RabbitMqPublisher, RabbitMqSource};
use idem_runtime::{Arrival, Delivery as _, EventId, Incoming, Message, Source as _};
use idem_testing::conformance::{
    self, BrokerFault, Capabilities, Kept, PublishTarget, SourceTarget, Unsupported, WireMessage,
};
use idem_tests::TestDb;
use sqlx::Postgres;

use crate::broker::Broker;

const PREFETCH: u16 = 16;

/// Quorum queues, which the source declares.
struct Queues(Broker);

impl SourceTarget for Queues {
    type Source = RabbitMqSource;

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::none("RabbitMQ gives back at once", PREFETCH.into());
        capabilities.restart = Ok(());
        capabilities.rebalance = Err(Unsupported("a queue of RabbitMQ has no partitions"));
        // Where the queue has a single active consumer.
        capabilities.ordered = Ok(());
        capabilities.counts = Ok(());
        // Of the heartbeats.
        capabilities.deadline = Some(Duration::from_secs(1));
        capabilities
    }

    async fn create(&self, queue: &str) {
        self.0.declare(queue, quorum(queue).arguments()).await;
    }

    async fn source(&self, queue: &str) -> RabbitMqSource {
        let source = RabbitMqSource::new(self.0.url(), queue).unwrap();
        source.prefetch(PREFETCH).declare(quorum(queue))
    }

    async fn send(&self, queue: &str, messages: Vec<WireMessage>) {
        self.0.send(queue, messages).await;
    }

    async fn kept(&self, queue: &str) -> Kept {
        let counts = self.0.counts(queue).await;
        Kept {
            waiting: counts.ready,
            handed_out: counts.unacknowledged,
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

fn quorum(queue: &str) -> QuorumQueue {
    let declared = QuorumQueue::new(50);
    if queue.starts_with("conformance-ordered") {
        declared.single_active_consumer()
    } else {
        declared
    }
}

#[tokio::test]
async fn the_source_keeps_what_a_source_must() {
    let db = TestDb::<Postgres>::empty(2).await;
    let queues = Queues(Broker::start().await);
    let report = conformance::source::<Postgres, _>(queues, db.database().url()).await;
    report.assert_holds();
    assert_eq!(report.left_out().count(), 2);
}

/// A topic exchange, and a queue of everything that it takes.
struct Events {
    broker: Broker,
    arrived: Arc<Mutex<Vec<Message>>>,
}

impl Events {
    async fn start() -> Self {
        let broker = Broker::start().await;
        let (_connection, channel) = broker.channel().await;
        let arguments = FieldTable::default;
        let options = ExchangeDeclareOptions::default();
        let kind = ExchangeKind::Topic;
        let declared = channel.exchange_declare("events".into(), kind, options, arguments());
        declared.await.unwrap();
        broker
            .declare("all", QuorumQueue::new(50).arguments())
            .await;
        let options = QueueBindOptions::default();
        let bound = channel.queue_bind(
            "all".into(),
            "events".into(),
            "#".into(),
            options,
            arguments(),
        );
        bound.await.unwrap();
        let arrived = Arc::<Mutex<Vec<Message>>>::default();
        let source = RabbitMqSource::new(broker.direct_url(), "all").unwrap();
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
    type Publisher = RabbitMqPublisher;

    async fn publisher(&self) -> RabbitMqPublisher {
        let publisher = RabbitMqPublisher::new(self.broker.url()).unwrap();
        publisher.exchange("events").unwrap()
    }

    async fn received(&self) -> Vec<Message> {
        std::mem::take(&mut self.arrived.lock().unwrap())
    }

    async fn inject(&self, fault: BrokerFault) -> Result<(), Unsupported> {
        if fault != BrokerFault::Down {
            return Err(Unsupported("RabbitMQ treats all messages of a queue alike"));
        }
        self.broker.proxy.refuse(true);
        self.broker.proxy.cut_all();
        Ok(())
    }

    async fn restore(&self) {
        self.broker.proxy.refuse(false);
    }
}

#[tokio::test]
async fn the_publisher_keeps_what_a_publisher_must() {
    let report = conformance::publisher(&Events::start().await).await;
    report.assert_holds();
    assert_eq!(report.left_out().count(), 2);
}
