//! What the suite does not ask of the publisher.

use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

use idem_kafka::rdkafka::ClientConfig;
use idem_kafka::rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use idem_kafka::{Connector, KafkaError, KafkaPublisher, KafkaSource};
use idem_runtime::{EventId, Message, PublishBatch, PublishError, Publisher as _};
use tokio::time::timeout;
use uuid::Uuid;

use crate::broker::{Broker, mock};

type Verdict = Option<Result<(), PublishError>>;

pub(crate) fn message(topic: &str, key: Option<&str>) -> Message {
    let mut message = Message::new(EventId::new(Uuid::now_v7()), topic, "Happened", "{}");
    message.source = "/shop".into();
    message.key = key.map(str::to_owned);
    message
}

async fn publish(publisher: &KafkaPublisher, messages: Vec<Message>) -> Vec<Verdict> {
    let mut all = vec![None; messages.len()];
    let (batch, mut verdicts) = PublishBatch::new(messages);
    timeout(Duration::from_mins(1), publisher.publish(batch))
        .await
        .expect("the call does not end");
    while let Some((index, verdict)) = verdicts.next().await {
        all[index] = Some(verdict);
    }
    all
}

fn failure(verdict: &Verdict) -> &PublishError {
    let verdict = verdict.as_ref().expect("a verdict");
    verdict.as_ref().expect_err("it is confirmed")
}

/// Guards: the binding of CloudEvents for Kafka, which other programs read.
#[tokio::test]
async fn an_event_is_a_cloud_event_in_binary_mode_with_its_key() {
    let broker = Broker::start().await;
    broker.create("shop.orders", 3).await;
    let publisher = KafkaPublisher::new(&broker.brokers()).unwrap();
    let publisher = publisher.map_topic(|topic| format!("shop.{topic}"));
    let mut sent = message("orders", Some("k-7"));
    sent.created_at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    sent.headers
        .insert("traceparent".into(), "00-a-b-01".into());
    assert_eq!(
        publish(&publisher, vec![sent.clone()]).await,
        [Some(Ok(()))]
    );
    let records = broker.read("shop.orders");
    let [record] = &records[..] else {
        panic!("{records:?}");
    };
    assert_eq!(record.key.as_deref(), Some("k-7"));
    assert_eq!(record.value.as_deref(), Some(&b"{}"[..]));
    assert_eq!(record.timestamp, Some(1_700_000_000_123));
    let headers: HashMap<_, _> = record.headers.iter().cloned().collect();
    for (name, value) in [
        ("content-type", "application/json"),
        ("ce_specversion", "1.0"),
        ("ce_id", &sent.id.to_string()),
        ("ce_source", "/shop"),
        ("ce_type", "Happened"),
        ("ce_topic", "orders"),
        ("ce_partitionkey", "k-7"),
        ("ce_traceparent", "00-a-b-01"),
        ("traceparent", "00-a-b-01"),
    ] {
        assert_eq!(headers.get(name).map(String::as_str), Some(value), "{name}");
    }
}

/// Guards: a topic that is not there is the fault of its events alone, and the error says what to do.
#[tokio::test]
async fn an_event_without_a_topic_is_given_up_with_the_fix_and_no_other_with_it() {
    let broker = Broker::start().await;
    broker.create("orders", 1).await;
    let publisher = KafkaPublisher::new(&broker.brokers()).unwrap();
    let messages = vec![
        message("nobody", Some("a")),
        message("a b", Some("b")),
        message("orders", Some("c")),
    ];
    let verdicts = publish(&publisher, messages).await;
    for (verdict, name) in verdicts.iter().zip(["`nobody`", "`a b`"]) {
        let error = failure(verdict);
        assert!(error.is_permanent(), "{error}");
        assert!(error.reason().contains(name), "{error}");
        assert!(error.reason().contains("map_topic"), "{error}");
    }
    assert_eq!(verdicts[2], Some(Ok(())));
}

/// Guards: what is larger than the client or the topic takes, which would refuse it each time.
#[tokio::test]
async fn an_event_that_is_too_large_is_given_up_with_the_fix_and_no_other_with_it() {
    let broker = Broker::start().await;
    broker.create("orders", 1).await;
    let mut config = broker.config();
    config.set("message.max.bytes", "2000");
    let publisher = KafkaPublisher::with(config).unwrap();
    let mut large = message("orders", Some("a"));
    large.payload = vec![b'1'; 3_000];
    let messages = vec![large, message("orders", Some("a")), message("orders", None)];
    let verdicts = publish(&publisher, messages).await;
    let error = failure(&verdicts[0]);
    assert!(error.is_permanent(), "{error}");
    assert!(error.reason().contains("message.max.bytes"), "{error}");
    assert_eq!(verdicts[1..], [Some(Ok(())), Some(Ok(()))]);
}

/// Guards: `enable.idempotence`, and that a topic is published to again after an outage. What was with
/// the client then is tried again without an attempt.
#[tokio::test]
async fn a_broker_that_is_away_is_unavailable_and_nothing_overtakes_what_waited_for_it() {
    let broker = Broker::start().await;
    broker.create("orders", 1).await;
    let publisher = KafkaPublisher::new(&broker.brokers()).unwrap();
    let publisher = publisher.timeout(Duration::from_secs(2));
    let all: Vec<_> = (0..6).map(|_| message("orders", Some("k"))).collect();
    let first = publish(&publisher, all[..1].to_vec()).await;
    assert_eq!(first, [Some(Ok(()))]);
    broker.server.proxy().refuse(true);
    broker.server.proxy().cut_all();
    let down = publish(&publisher, all[1..].to_vec()).await;
    assert!(failure(&down[0]).is_unavailable(), "{down:?}");
    // Nothing was said of the others of its key.
    assert_eq!(down[1..], [None, None, None, None]);
    broker.server.proxy().refuse(false);
    let again = async {
        let mut left = all[1..].to_vec();
        while !left.is_empty() {
            let verdicts = publish(&publisher, left.clone()).await;
            let mut verdicts = verdicts.into_iter();
            left.retain(|_| verdicts.next() != Some(Some(Ok(()))));
        }
    };
    timeout(Duration::from_mins(1), again).await.unwrap();
    let ids = broker.read("orders").into_iter().map(|record| {
        let mut headers = record.headers.into_iter();
        headers.find(|(name, _)| name == "ce_id").unwrap().1
    });
    let mut seen: Vec<String> = Vec::new();
    for id in ids {
        if !seen.contains(&id) {
            seen.push(id);
        }
    }
    let expected: Vec<String> = all.iter().map(|message| message.id.to_string()).collect();
    assert_eq!(seen, expected);
}

/// Guards: a batch is refused as a whole, and each of its events is then sent alone. Only one that is
/// refused alone is given up.
#[tokio::test]
async fn what_is_refused_with_a_batch_that_is_too_large_is_sent_alone() {
    let (cluster, config) = mock();
    let publisher = KafkaPublisher::with(config).unwrap();
    let too_large = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    cluster.request_errors(RDKafkaApiKey::Produce, &[too_large]);
    let messages: Vec<_> = (0..5).map(|_| message("orders", None)).collect();
    let verdicts = publish(&publisher, messages).await;
    assert_eq!(verdicts, vec![Some(Ok(())); 5]);

    // The second time it is alone.
    cluster.request_errors(RDKafkaApiKey::Produce, &[too_large, too_large]);
    let verdicts = publish(&publisher, vec![message("orders", Some("a"))]).await;
    let error = failure(&verdicts[0]);
    assert!(error.is_permanent(), "{error}");
    assert!(error.reason().contains("max.message.bytes"), "{error}");
}

/// Guards: a producer that has come to its end is made again. It would confirm nothing more.
#[tokio::test]
async fn after_the_end_of_a_producer_another_one_goes_on() {
    let (cluster, config) = mock();
    let publisher = KafkaPublisher::with(config).unwrap();
    // Of the request that begins an idempotent producer: the client gives it up for good.
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    cluster.request_errors(RDKafkaApiKey::InitProducerId, &[refused]);
    let verdicts = publish(&publisher, vec![message("orders", Some("a"))]).await;
    let error = failure(&verdicts[0]);
    assert!(error.is_unavailable(), "{error}");
    let after = publish(&publisher, vec![message("orders", Some("a"))]).await;
    assert_eq!(after, [Some(Ok(()))]);
}

/// Guards: a refusal that concerns a topic alone is an attempt of its events, and others go on.
#[tokio::test]
async fn an_event_that_its_topic_refuses_is_not_overtaken_and_stops_no_other_key() {
    let (cluster, config) = mock();
    let publisher = KafkaPublisher::with(config).unwrap();
    let forbidden = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    cluster.request_errors(RDKafkaApiKey::Produce, &[forbidden]);
    let messages = vec![message("orders", Some("a")), message("orders", Some("a"))];
    let verdicts = publish(&publisher, messages).await;
    let error = failure(&verdicts[0]);
    assert!(!error.is_permanent() && !error.is_unavailable(), "{error}");
    assert!(error.reason().contains("WRITE"), "{error}");
    assert_eq!(verdicts[1], None);
    // The client asks again now and then whether the topic may be written to.
    let again = async {
        while publish(&publisher, vec![message("orders", Some("b"))]).await != [Some(Ok(()))] {}
    };
    timeout(Duration::from_secs(30), again).await.unwrap();
}

/// Guards: settings that would lose or reorder are refused, and no error shows a password.
#[test]
fn a_setting_that_breaks_a_promise_is_refused() {
    let with = |name: &str, value: &str| {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "127.0.0.1:9092");
        config.set("sasl.password", "s3cret");
        config.set(name, value);
        let refused = KafkaPublisher::with(config.clone()).map(drop);
        let source = KafkaSource::with(config, "ledger", ["orders"]).map(drop);
        let words = format!("{refused:?} {source:?} {:?}", Connector::brokers("a:1"));
        assert!(!words.contains("s3cret"), "{words}");
        (refused, source)
    };
    for (name, value) in [
        ("enable.idempotence", "false"),
        ("acks", "1"),
        ("transactional.id", "t"),
        ("message.timeout.ms", "5"),
    ] {
        let (refused, _) = with(name, value);
        let error = refused.unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
    for (name, value) in [
        ("enable.auto.commit", "true"),
        ("enable.auto.offset.store", "true"),
        ("group.id", "other"),
        ("group.protocol", "consumer"),
    ] {
        let (_, refused) = with(name, value);
        let error = refused.unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
    let (publisher, source) = with("sasl.pasword", "s3cret");
    let name = "sasl.pasword".to_owned();
    assert_eq!(publisher, Err(KafkaError::Refused { name: name.clone() }));
    assert_eq!(source, Err(KafkaError::Refused { name }));
    assert!(with("acks", "-1").0.is_ok() && with("acks", "all").1.is_ok());
    for no in ["", "host", "host:port", "kafka://h:1", "u@h:1", "a:1,,b:2"] {
        assert_eq!(KafkaPublisher::new(no).map(drop), Err(KafkaError::Brokers));
    }
    let none: [&str; 0] = [];
    let source = KafkaSource::new("h:1", "ledger", none).map(drop);
    assert_eq!(source, Err(KafkaError::Name));
}
