//! A broker of a test's own, behind a proxy that can cut connections.

use std::time::{Duration, Instant};

use idem_kafka::rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use idem_kafka::rdkafka::client::DefaultClientContext;
use idem_kafka::rdkafka::consumer::{BaseConsumer, Consumer as _};
use idem_kafka::rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use idem_kafka::rdkafka::mocking::MockCluster;
use idem_kafka::rdkafka::producer::{
    BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer,
};
use idem_kafka::rdkafka::topic_partition_list::TopicPartitionListElem;
use idem_kafka::rdkafka::{ClientConfig, Offset, TopicPartitionList};
use idem_testing::conformance::WireMessage;
use idem_tests::server::Kafka;

/// How long an answer may take, on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(30);

/// How long a member that is not heard of stays in its group.
pub(crate) const SESSION: Duration = Duration::from_secs(4);

/// How long a member may take to leave its group. Of a member that leaves while another one joins,
/// tansu makes the leader of the group, which then waits for it for ever.
pub(crate) const LEAVES: Duration = Duration::from_millis(300);

pub(crate) struct Broker {
    pub(crate) server: Kafka,
}

/// A record as it is with the broker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) timestamp: Option<i64>,
}

impl Broker {
    pub(crate) async fn start() -> Self {
        let server = Kafka::start().await.unwrap();
        Self { server }
    }

    pub(crate) fn brokers(&self) -> String {
        self.server.brokers()
    }

    pub(crate) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers());
        config
    }

    /// Of a member of a group that notices soon what is wrong.
    pub(crate) fn member(&self) -> ClientConfig {
        let mut config = self.config();
        config.set("session.timeout.ms", SESSION.as_millis().to_string());
        config.set("heartbeat.interval.ms", "500");
        config.set("reconnect.backoff.max.ms", "500");
        config
    }

    pub(crate) async fn create(&self, topic: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().unwrap();
        let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(LIMIT));
        let made = admin.create_topics([&topic], &options).await.unwrap();
        made[0].as_ref().unwrap();
    }

    /// Into a topic, in this order. Returns once all are confirmed.
    pub(crate) fn send(&self, topic: &str, messages: &[WireMessage]) {
        let producer: ThreadedProducer<DefaultProducerContext> = self
            .config()
            // In order, and without the wait for a producer's ID.
            .set("max.in.flight", "1")
            .set("message.max.bytes", "2000000")
            // Of a batch of several tansu says that the partition ends with the first of them.
            .set("batch.num.messages", "1")
            .set("linger.ms", "0")
            .create()
            .unwrap();
        for message in messages {
            let mut headers = OwnedHeaders::new();
            for (name, value) in &message.attributes {
                let (key, value) = (&*format!("ce_{name}"), Some(value));
                headers = headers.insert(Header { key, value });
            }
            if let Some(content_type) = &message.content_type {
                let (key, value) = ("content-type", Some(content_type));
                headers = headers.insert(Header { key, value });
            }
            let mut record = BaseRecord::to(topic)
                .payload(&message.body)
                .headers(headers);
            if let Some(key) = &message.key {
                record = record.key(key);
            }
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(LIMIT).unwrap();
    }

    /// Plain records into one partition.
    pub(crate) fn send_plain(&self, topic: &str, partition: i32, values: &[Option<&str>]) {
        send_plain(self.config(), topic, partition, values);
    }

    /// How many messages of a topic a group has not committed.
    pub(crate) fn lag(&self, topic: &str, group: &str) -> usize {
        lag(self.config(), topic, group)
    }
    /// All records of a topic, each partition in its order.
    pub(crate) fn read(&self, topic: &str) -> Vec<Record> {
        let reader: BaseConsumer = self
            .config()
            .set("group.id", "reader")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        let metadata = reader.fetch_metadata(Some(topic), LIMIT).unwrap();
        let partitions = metadata.topics()[0].partitions().len();
        let mut list = TopicPartitionList::new();
        let mut left = 0;
        for partition in 0..i32::try_from(partitions).unwrap() {
            let (low, high) = reader.fetch_watermarks(topic, partition, LIMIT).unwrap();
            left += high - low;
            list.add_partition_offset(topic, partition, Offset::Beginning)
                .unwrap();
        }
        reader.assign(&list).unwrap();
        let mut records = Vec::new();
        let end = Instant::now() + LIMIT;
        while left > 0 {
            assert!(Instant::now() < end, "{left} records do not come");
            let Some(Ok(message)) = reader.poll(Duration::from_millis(100)) else {
                continue;
            };
            left -= 1;
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let headers = message.headers().map_or_else(Vec::new, |headers| {
                let pair = |header: Header<'_, &[u8]>| {
                    (header.key.to_owned(), text(header.value.unwrap()))
                };
                headers.iter().map(pair).collect()
            });
            records.push(Record {
                partition: message.partition(),
                key: message.key().map(text),
                value: message.payload().map(<[u8]>::to_vec),
                headers,
                timestamp: message.timestamp().to_millis(),
            });
        }
        records
    }
}

/// A cluster in this process with the topic `orders` of one partition, which answers as a test says.
pub(crate) fn mock() -> (MockCluster<'static, DefaultProducerContext>, ClientConfig) {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("orders", 1, 1).unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers());
    (cluster, config)
}

/// Plain records into one partition.
pub(crate) fn send_plain(
    mut config: ClientConfig,
    topic: &str,
    partition: i32,
    values: &[Option<&str>],
) {
    let producer: ThreadedProducer<DefaultProducerContext> = config
        .set("max.in.flight", "1")
        .set("batch.num.messages", "1")
        .create()
        .unwrap();
    for value in values {
        let (key, tenant) = ("tenant", Some("t-1"));
        let headers = OwnedHeaders::new().insert(Header { key, value: tenant });
        let mut record = BaseRecord::<str, str>::to(topic)
            .partition(partition)
            .key("k")
            .timestamp(7_000)
            .headers(headers);
        if let Some(value) = value {
            record = record.payload(value);
        }
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(LIMIT).unwrap();
}

/// How many messages of a topic a group has not committed.
pub(crate) fn lag(mut config: ClientConfig, topic: &str, group: &str) -> usize {
    let asks: BaseConsumer = config.set("group.id", group).create().unwrap();
    let asked = |partition| asks.fetch_watermarks(topic, partition, LIMIT).unwrap();
    let metadata = asks.fetch_metadata(Some(topic), LIMIT).unwrap();
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        list.add_partition(topic, partition.id());
    }
    let committed = asks.committed_offsets(list, LIMIT).unwrap();
    let lag = |element: &TopicPartitionListElem<'_>| {
        let (low, high) = asked(element.partition());
        match element.offset() {
            Offset::Offset(next) => high - next,
            _ => high - low,
        }
    };
    let lag: i64 = committed.elements().iter().map(lag).sum();
    usize::try_from(lag).unwrap()
}
