//! What the suite does not ask of the publisher.

use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

use idem_kafka::KafkaPublisher;
use idem_runtime::{EventId, Message, PublishBatch, PublishError, Publisher as _};
use tokio::time::timeout;
use uuid::Uuid;

use crate::broker::Broker;

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
