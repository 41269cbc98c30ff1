//! What the suite does not ask of the publisher.

use std::time::Duration;

use idem_rabbitmq::RabbitMqPublisher;
use idem_rabbitmq::lapin::types::{AMQPValue, FieldTable};
use idem_runtime::{EventId, Message, PublishBatch, PublishError, Publisher as _};
use idem_tests::proxy::When;
use idem_tests::server::Options;
use tokio::time::timeout;
use uuid::Uuid;

use crate::broker::{Broker, LARGEST};

type Verdict = Option<Result<(), PublishError>>;

fn message(topic: &str, key: Option<&str>) -> Message {
    let mut message = Message::new(EventId::new(Uuid::now_v7()), topic, "Happened", "{}");
    message.source = "/shop".into();
    message.key = key.map(str::to_owned);
    message
}

async fn publish(publisher: &RabbitMqPublisher, messages: Vec<Message>) -> Vec<Verdict> {
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

/// Guards: the limit of a session's beginning. Without it the call would go on until the relay gives
/// it up, and count attempts.
#[tokio::test]
async fn a_broker_that_does_not_answer_is_unavailable() {
    let broker = Broker::start().await;
    broker.declare("orders", FieldTable::default()).await;
    let publisher = RabbitMqPublisher::new(&broker.url_without_heartbeats()).unwrap();
    let confirm_select = When::Contains("\0\x55\0\x0a");
    let swallowed = broker.proxy.swallow_reply(confirm_select);
    let verdicts = publish(&publisher, vec![message("orders", None)]).await;
    assert!(swallowed.happened());
    assert!(failure(&verdicts[0]).is_unavailable(), "{verdicts:?}");
    let verdicts = publish(&publisher, vec![message("orders", None)]).await;
    assert_eq!(verdicts, [Some(Ok(()))]);
}

/// Guards: `mandatory`, and that a returned message is no success although RabbitMQ confirms it.
#[tokio::test]
async fn an_event_that_no_queue_takes_is_a_failure_of_its_own() {
    let broker = Broker::shared().await;
    broker.declare("orders", FieldTable::default()).await;
    let publisher = RabbitMqPublisher::new(broker.url()).unwrap();
    let messages = vec![message("nobody", None), message("orders", None)];
    let verdicts = publish(&publisher, messages).await;
    let error = failure(&verdicts[0]);
    assert!(!error.is_permanent() && !error.is_unavailable(), "{error}");
    assert!(error.reason().contains("`nobody`"), "{error}");
    assert_eq!(verdicts[1], Some(Ok(())));
}

/// Guards: `basic.nack`, and one key one after the other: nothing overtakes what was refused.
#[tokio::test]
async fn what_a_full_queue_refuses_is_a_failure_and_is_not_overtaken() {
    let broker = Broker::shared().await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
    let overflow = AMQPValue::LongString("reject-publish".into());
    arguments.insert("x-overflow".into(), overflow);
    broker.declare("full", arguments).await;
    let publisher = RabbitMqPublisher::new(broker.url()).unwrap();
    let of = |count| (0..count).map(|_| message("full", Some("k"))).collect();
    // A classic queue takes one or two more than it says.
    let verdicts = publish(&publisher, of(20)).await;
    let confirmed = verdicts.iter().take_while(|v| **v == Some(Ok(()))).count();
    assert!(confirmed < 20);
    let error = failure(&verdicts[confirmed]);
    assert!(error.reason().contains("basic.nack"), "{error}");
    assert!(!error.is_permanent() && !error.is_unavailable(), "{error}");
    assert!(verdicts[confirmed + 1..].iter().all(Option::is_none));
}

/// Guards: what is wrong with the exchange concerns no single event, and is named.
#[tokio::test]
async fn an_exchange_that_is_not_there_pauses_the_relay() {
    let broker = Broker::shared().await;
    let publisher = RabbitMqPublisher::new(broker.url()).unwrap();
    let publisher = publisher.exchange("evnts").unwrap();
    let error = publish(&publisher, vec![message("orders", None)]).await;
    let error = failure(&error[0]);
    assert!(error.is_unavailable(), "{error}");
    assert!(error.reason().contains("evnts"), "{error}");
}

/// Guards: an event that RabbitMQ will never take is given up by itself. It closes the channel, and
/// what was on its way with it is tried again without an attempt.
#[tokio::test]
async fn an_event_that_is_too_large_is_given_up_and_no_other_with_it() {
    let broker = Broker::shared().await;
    broker.declare("orders", FieldTable::default()).await;
    let publisher = RabbitMqPublisher::new(broker.url()).unwrap();
    let mut large = message("orders", None);
    large.payload = vec![b'1'; LARGEST + 1];
    let error = publish(&publisher, vec![large]).await;
    let error = failure(&error[0]);
    assert!(error.is_permanent(), "{error}");
    let verdicts = publish(&publisher, vec![message("orders", None)]).await;
    assert_eq!(verdicts, [Some(Ok(()))]);

    // A frame of headers can't be split: RabbitMQ would close the connection.
    let mut wide = message("orders", None);
    wide.headers.insert("wide".into(), "x".repeat(200_000));
    let mut long = message(&"t".repeat(256), None);
    long.headers.clear();
    let verdicts = publish(&publisher, vec![wide, long, message("orders", None)]).await;
    for verdict in &verdicts[..2] {
        assert!(failure(verdict).is_permanent());
    }
    assert_eq!(verdicts[2], Some(Ok(())));
}

/// Guards: the time limit round a publication. A broker that is short of memory reads nothing more
/// from its publishers, and says so nowhere that waits.
#[tokio::test]
async fn a_broker_that_is_short_of_memory_pauses_the_relay() {
    let options = Options::default().set("vm_memory_high_watermark.absolute", "1MB");
    let broker = Broker::start_with(options).await;
    broker.declare("orders", FieldTable::default()).await;
    let publisher = RabbitMqPublisher::new(broker.url()).unwrap();
    let publisher = publisher.timeout(Duration::from_secs(1));
    let verdicts = publish(&publisher, vec![message("orders", None)]).await;
    let error = failure(&verdicts[0]);
    assert!(error.is_unavailable(), "{error}");
    assert!(error.reason().contains("memory"), "{error}");
}

/// Guards: a new connection after the broker's end, without a call to do so.
#[tokio::test]
async fn a_broker_that_was_killed_is_published_to_again() {
    let broker = Broker::start().await;
    broker.declare("orders", FieldTable::default()).await;
    let publisher = RabbitMqPublisher::new(broker.url()).unwrap();
    let before = publish(&publisher, vec![message("orders", None)]).await;
    assert_eq!(before, [Some(Ok(()))]);
    broker.crash().await;
    let down = publish(&publisher, vec![message("orders", None)]).await;
    assert!(failure(&down[0]).is_unavailable());
    broker.start_again().await;
    let again = async {
        while publish(&publisher, vec![message("orders", None)]).await != [Some(Ok(()))] {}
    };
    timeout(Duration::from_secs(30), again).await.unwrap();
    assert_eq!(broker.counts("orders").await.ready, 2);
}
