//! What the suite does not ask of the source.

use std::time::Duration;

use idem_rabbitmq::lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use idem_rabbitmq::lapin::types::{AMQPValue, FieldTable};
use idem_rabbitmq::lapin::{BasicProperties, ErrorKind};
use idem_rabbitmq::{Connector, QuorumQueue, RabbitMqDelivery, RabbitMqError, RabbitMqSource};
use idem_runtime::{Arrival, Delivery as _, Source as _, SourceError};
use idem_tests::proxy::When;
use idem_tests::server::Options;
use tokio::time::timeout;

use crate::broker::Broker;

/// Far above what anything here takes.
const LIMIT: Duration = Duration::from_secs(30);

async fn next(source: &RabbitMqSource) -> Result<RabbitMqDelivery, SourceError> {
    let next = timeout(LIMIT, source.receive()).await;
    match next.expect("it answers").expect("it has not ended") {
        Ok(Arrival::Delivery(delivery)) => Ok(delivery),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    }
}

/// The next delivery, whatever goes wrong before it.
async fn delivered(source: &RabbitMqSource) -> RabbitMqDelivery {
    loop {
        if let Ok(delivery) = next(source).await {
            return delivery;
        }
    }
}

async fn send(broker: &Broker, queue: &str, body: &str) {
    send_all(broker, queue, &[body.to_owned()]).await;
}

async fn send_all(broker: &Broker, queue: &str, bodies: &[String]) {
    let (_connection, channel) = broker.channel().await;
    let mut headers = FieldTable::default();
    headers.insert("tenant".into(), AMQPValue::LongString("t-1".into()));
    headers.insert("retries".into(), AMQPValue::LongInt(3));
    let properties = BasicProperties::default()
        .with_headers(headers)
        .with_message_id("m-1".into())
        .with_type("invoice.paid".into())
        .with_content_type("application/json".into())
        .with_timestamp(7);
    let options = ConfirmSelectOptions::default();
    channel.confirm_select(options).await.unwrap();
    for body in bodies {
        let sent = channel.basic_publish(
            "".into(),
            queue.into(),
            BasicPublishOptions::default(),
            body.as_bytes(),
            properties.clone(),
        );
        assert!(sent.await.unwrap().await.unwrap().is_ack());
    }
}

/// Guards: properties and headers of a message that is no CloudEvent.
#[tokio::test]
async fn of_a_message_of_another_producer_the_properties_say_what_it_is() {
    let broker = Broker::shared().await;
    broker.declare("plain", FieldTable::default()).await;
    send(broker, "plain", "{}").await;
    let source = RabbitMqSource::new(broker.url(), "plain").unwrap();
    let delivery = next(&source).await.unwrap();
    let incoming = delivery.incoming();
    let of = (&*incoming.id, &*incoming.kind, &*incoming.topic);
    assert_eq!(of, ("m-1", "invoice.paid", "plain"));
    assert_eq!(incoming.headers["tenant"], "t-1");
    assert_eq!(incoming.headers["retries"], "3");
    // A classic queue counts nothing.
    assert_eq!((incoming.redelivered, incoming.count), (false, None));
    delivery.ack().await.unwrap();
}

/// Guards: what a person must change ends the consumer at its start, and is named. Once it has
/// worked, the same may be a node that is away, and is tried again.
#[tokio::test]
async fn a_queue_that_is_not_there_ends_the_consumer_at_its_start_and_never_later() {
    let broker = Broker::shared().await;
    let source = RabbitMqSource::new(broker.url(), "ledger").unwrap();
    let error = next(&source).await.unwrap_err();
    assert!(error.is_permanent(), "{error}");
    assert!(error.reason().contains("`ledger`"), "{error}");

    broker.declare("ledger", FieldTable::default()).await;
    let other = RabbitMqSource::new(broker.url(), "ledger").unwrap();
    let other = other.declare(QuorumQueue::new(20));
    let error = next(&other).await.unwrap_err();
    assert!(error.is_permanent(), "{error}");
    assert!(error.reason().contains("the same arguments"), "{error}");

    send(broker, "ledger", "{}").await;
    next(&source).await.unwrap().ack().await.unwrap();
    let (_connection, channel) = broker.channel().await;
    let options = QueueDeleteOptions::default();
    channel
        .queue_delete("ledger".into(), options)
        .await
        .unwrap();
    for _ in 0..2 {
        let error = next(&source).await.unwrap_err();
        assert!(!error.is_permanent(), "{error}");
    }
    let declared = channel.queue_declare(
        "ledger".into(),
        QueueDeclareOptions::durable(),
        FieldTable::default(),
    );
    declared.await.unwrap();
    send(broker, "ledger", "{}").await;
    delivered(&source).await.ack().await.unwrap();
}

/// Guards: the limit of a session's beginning. Without it the source would wait for ever.
#[tokio::test]
async fn a_broker_that_does_not_answer_is_left_and_asked_again() {
    let broker = Broker::start().await;
    broker.declare("silent", FieldTable::default()).await;
    let source = RabbitMqSource::new(&broker.url_without_heartbeats(), "silent").unwrap();
    let basic_consume = When::Contains("\0\x3c\0\x14");
    let swallowed = broker.proxy.swallow_reply(basic_consume);
    let error = next(&source).await.unwrap_err();
    assert!(swallowed.happened() && !error.is_permanent(), "{error}");
    send(&broker, "silent", "{}").await;
    next(&source).await.unwrap().ack().await.unwrap();
    source.stop();
    assert!(timeout(LIMIT, source.receive()).await.unwrap().is_none());
}

/// Guards: the channel is made anew after the broker has closed it for a delivery that was kept for
/// too long, and what was kept is not acknowledged any more.
#[tokio::test]
async fn after_consumer_timeout_the_message_comes_again_on_a_new_channel() {
    let options = Options::default().set("consumer_timeout", 1_000);
    let broker = Broker::start_with(options).await;
    broker
        .declare("slow", QuorumQueue::new(5).arguments())
        .await;
    send(&broker, "slow", "{}").await;
    let source = RabbitMqSource::new(broker.url(), "slow").unwrap();
    let kept = next(&source).await.unwrap();
    let error = next(&source).await.unwrap_err();
    assert!(!error.is_permanent(), "{error}");
    assert!(
        error.reason().contains("timed out") || error.reason().contains("timeout"),
        "{error}"
    );
    let again = delivered(&source).await;
    assert!(again.incoming().redelivered);
    assert!(kept.ack().await.unwrap_err().is_lost());
    again.ack().await.unwrap();
    assert_eq!(broker.counts("slow").await.ready, 0);
}

/// Guards: the broker hands out as often as the source says, and what it gives up is in its own
/// dead letter queue; so is what is rejected.
#[tokio::test]
async fn a_quorum_queue_gives_a_message_up_after_as_many_deliveries_as_the_source_says() {
    let broker = Broker::shared().await;
    broker.declare("dead", FieldTable::default()).await;
    let queue = QuorumQueue::new(2)
        .dead_letter_exchange("amq.fanout")
        .unwrap();
    let (_connection, channel) = broker.channel().await;
    let bound = channel.queue_bind(
        "dead".into(),
        "amq.fanout".into(),
        "".into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    bound.await.unwrap();
    let source = RabbitMqSource::new(broker.url(), "work").unwrap();
    let source = source.declare(queue.clone());
    assert_eq!(source.delivery_limit(), Some(3));
    broker.declare("work", queue.arguments()).await;
    send(broker, "work", "poison").await;
    for count in 1..=3 {
        let delivery = delivered(&source).await;
        assert_eq!(delivery.incoming().count, Some(count));
        delivery.give_back(Duration::ZERO).await.unwrap();
    }
    wait_for(broker, "dead", 1).await;
    send(broker, "work", "refused").await;
    delivered(&source).await.reject("too large").await.unwrap();
    wait_for(broker, "dead", 2).await;
    let bodies = [broker.take("dead").await, broker.take("dead").await];
    assert_eq!(
        bodies,
        [Some(b"poison".to_vec()), Some(b"refused".to_vec())]
    );
}

/// Guards: what is in hand at a shutdown is left to the end of the connection, and the consumer is not
/// cancelled before it. A quorum queue puts what comes back alone behind what came back before it, more
/// than 32 at once in any order, and what is on its way to a cancelled consumer before all of them.
#[tokio::test]
async fn what_is_in_hand_at_a_shutdown_comes_again_in_its_order() {
    const MESSAGES: usize = 300;
    const IN_HAND: usize = 100;
    const HANDLED: usize = 40;
    let broker = Broker::shared().await;
    for (name, arguments) in [
        ("order-quorum", QuorumQueue::new(20).arguments()),
        ("order-classic", FieldTable::default()),
    ] {
        broker.declare(name, arguments).await;
        let messages: Vec<_> = (0..MESSAGES).map(|number| number.to_string()).collect();
        send_all(broker, name, &messages).await;
        let source = RabbitMqSource::new(broker.url(), name).unwrap();
        let mut in_hand = Vec::new();
        while in_hand.len() < IN_HAND {
            in_hand.push(next(&source).await.unwrap());
        }
        source.stop();
        assert!(timeout(LIMIT, source.receive()).await.unwrap().is_none());
        // Some are handled after the shutdown began; the others go back, the last first.
        for delivery in in_hand.drain(..HANDLED) {
            delivery.ack().await.unwrap();
        }
        for delivery in in_hand.into_iter().rev() {
            delivery.give_back(Duration::ZERO).await.unwrap();
        }
        // `source` is still there, as one that somebody else keeps, too.

        let successor = RabbitMqSource::new(broker.url(), name).unwrap();
        let mut came = Vec::new();
        while came.len() < MESSAGES - HANDLED {
            let delivery = delivered(&successor).await;
            came.push(String::from_utf8(delivery.incoming().body.clone()).unwrap());
            delivery.ack().await.unwrap();
        }
        assert_eq!(came, messages[HANDLED..], "{name}");
        drop(source);
    }
}

async fn wait_for(broker: &Broker, queue: &str, messages: usize) {
    let arrived = async {
        while broker.counts(queue).await.ready < messages {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, arrived).await.expect("it does not arrive");
}

/// Guards: neither an error nor a setting shows what is in a URL.
#[tokio::test]
async fn a_password_is_shown_nowhere() {
    assert_eq!(
        Connector::url("http://me:s3cret@host").unwrap_err(),
        RabbitMqError::Url
    );
    let url = "amqp://me:s3cret@127.0.0.1:1/%2f";
    let source = RabbitMqSource::new(url, "ledger").unwrap();
    assert!(!format!("{source:?}").contains("s3cret"));
    let error = next(&source).await.unwrap_err();
    assert!(!error.is_permanent(), "{error}");
    assert!(!error.reason().contains("s3cret"), "{error}");
}

/// Guards: `Connector::new` is asked for each connection.
#[tokio::test]
async fn a_client_of_ones_own_makes_each_connection() {
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = asked.clone();
    let connector = Connector::new(move || {
        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        std::future::ready(Err(ErrorKind::NoDefaultRuntime.into()))
    });
    let source = RabbitMqSource::with(connector, "ledger").unwrap();
    for _ in 0..2 {
        next(&source).await.unwrap_err();
    }
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 2);
}
