//! What the suite does not ask of the source.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use idem_nats::{DurableConsumer, NatsDelivery, NatsSource};
use idem_runtime::{Arrival, Delivery as _, Source as _, SourceError};
use idem_tests::proxy::When;
use idem_tests::server::NatsRelease::{Newest, Oldest};
use tokio::time::{Instant, timeout};

use crate::broker::Broker;

/// Far above what anything here takes.
const LIMIT: Duration = Duration::from_secs(30);

const ACK_WAIT: Duration = Duration::from_secs(1);

pub(crate) async fn next(source: &NatsSource) -> Result<NatsDelivery, SourceError> {
    let next = timeout(LIMIT, source.receive()).await;
    match next.expect("it answers").expect("it has not ended") {
        Ok(Arrival::Delivery(delivery)) => Ok(delivery),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    }
}

/// The next delivery, whatever goes wrong before it and passes.
pub(crate) async fn delivered(source: &NatsSource) -> NatsDelivery {
    let delivered = async {
        loop {
            match next(source).await {
                Ok(delivery) => return delivery,
                Err(error) => assert!(!error.is_permanent(), "{error}"),
            }
        }
    };
    timeout(LIMIT, delivered).await.expect("it comes")
}

/// Of the stream of this name, by a consumer of the same one.
fn source(broker: &Broker, name: &str) -> NatsSource {
    let source = NatsSource::new(broker.url(), name, name).unwrap();
    source.declare(durable(name))
}

fn durable(name: &str) -> DurableConsumer {
    let subjects = [name.to_owned(), format!("{name}.>")];
    DurableConsumer::new(subjects).unwrap().ack_wait(ACK_WAIT)
}

/// Guards: headers and metadata of a message that is no CloudEvent.
#[tokio::test]
async fn of_a_message_of_another_producer_the_headers_say_what_it_is() {
    let broker = Broker::shared(Oldest).await;
    broker.stream("plain").await;
    broker.send_plain("plain.paid", 2).await;
    let delivery = next(&source(&broker, "plain")).await.unwrap();
    let incoming = delivery.incoming();
    assert!(uuid::Uuid::try_parse(&incoming.id).is_ok(), "{incoming:?}");
    assert_eq!(
        (&*incoming.topic, &*incoming.position),
        ("plain.paid", "plain/1")
    );
    assert_eq!(incoming.headers["tenant"], "t-1");
    assert_eq!(incoming.headers.len(), 1);
    assert_eq!((incoming.redelivered, incoming.count), (false, Some(1)));
    assert!(incoming.published_at.is_some());
    delivery.ack().await.unwrap();
}

/// Guards: an ack is one that the server has taken. The client's own `ack` ends before it is sent.
#[tokio::test]
async fn what_is_acknowledged_is_acknowledged_at_the_server() {
    for release in [Oldest, Newest] {
        let broker = Broker::shared(release).await;
        broker.stream("acked").await;
        let source = source(&broker, "acked");
        for _ in 0..20 {
            broker.send_plain("acked", 1).await;
            next(&source).await.unwrap().ack().await.unwrap();
            let info = broker.info("acked", "acked").await;
            assert_eq!((info.num_ack_pending, info.num_pending), (0, 0));
        }
    }
}

/// Guards: an ack that is asked for on a connection that ends is asked for on the next one.
#[tokio::test]
async fn an_ack_whose_answer_was_lost_is_sent_again() {
    let broker = Broker::start(Newest).await;
    broker.stream("lost").await;
    let source = source(&broker, "lost");
    broker.send_plain("lost", 1).await;
    let delivery = next(&source).await.unwrap();
    let lost = broker.proxy.lose_request(When::Contains("+ACK"));
    delivery.ack().await.unwrap();
    assert!(lost.happened());
    let info = broker.info("lost", "lost").await;
    assert_eq!((info.num_ack_pending, info.num_pending), (0, 0));
}

/// Guards: extensions, and their end. What came again elsewhere is neither given back nor rejected
/// by who had it before: the server would take that for the one who has it now.
#[tokio::test]
async fn a_delivery_is_kept_as_long_as_it_is_extended_and_is_lost_afterwards() {
    for release in [Oldest, Newest] {
        let broker = Broker::shared(release).await;
        broker.stream("kept").await;
        let (first, second) = (source(&broker, "kept"), source(&broker, "kept"));
        broker.send_plain("kept", 1).await;
        let mine = next(&first).await.unwrap();
        // Its request would get the message again.
        drop(first);
        assert!(mine.time_left().unwrap() <= ACK_WAIT);
        let end = Instant::now() + ACK_WAIT * 2;
        while Instant::now() < end {
            let left = mine.extend().await.unwrap().unwrap();
            assert!(left > ACK_WAIT / 2 && left <= ACK_WAIT);
            tokio::time::sleep(ACK_WAIT / 4).await;
        }
        assert_eq!(broker.info("kept", "kept").await.num_redelivered, 0);

        let theirs = next(&second).await.unwrap();
        assert_eq!(theirs.incoming().count, Some(2));
        assert!(theirs.incoming().redelivered);
        assert!(mine.extend().await.unwrap_err().is_lost());
        assert!(mine.give_back(Duration::ZERO).await.unwrap_err().is_lost());
        theirs.extend().await.unwrap();
        theirs.ack().await.unwrap();
        assert_eq!(broker.info("kept", "kept").await.num_ack_pending, 0);
    }
}

/// Guards: what waits in the source is extended, too.
#[tokio::test]
async fn what_waits_to_be_handed_out_is_not_taken_back() {
    let broker = Broker::shared(Newest).await;
    broker.stream("waits").await;
    broker.send_plain("waits", 1).await;
    broker.send_plain("waits", 1).await;
    let source = source(&broker, "waits");
    let first = next(&source).await.unwrap();
    first.ack().await.unwrap();
    // Nobody asks for the second one.
    tokio::time::sleep(ACK_WAIT * 3).await;
    let second = next(&source).await.unwrap();
    assert_eq!(second.incoming().count, Some(1));
    second.ack().await.unwrap();
    let info = broker.info("waits", "waits").await;
    assert_eq!(
        (info.num_ack_pending, info.delivered.consumer_sequence),
        (0, 2)
    );
}

/// Guards: `+TERM` alone on an old server, which does nothing about a reason.
#[tokio::test]
async fn what_is_rejected_never_comes_again() {
    for release in [Oldest, Newest] {
        let broker = Broker::shared(release).await;
        broker.stream("rejected").await;
        let client = broker.context().client();
        let advisories = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.rejected.>";
        let mut advisories = client.subscribe(advisories).await.unwrap();
        client.flush().await.unwrap();
        let source = source(&broker, "rejected");
        broker.send_plain("rejected", 1).await;
        let delivery = next(&source).await.unwrap();
        delivery.reject("it is too large\r\n").await.unwrap();
        assert_eq!(broker.info("rejected", "rejected").await.num_ack_pending, 0);
        let advisory = timeout(LIMIT, advisories.next()).await.unwrap().unwrap();
        let advisory = String::from_utf8_lossy(&advisory.payload).into_owned();
        let says_why = advisory.contains("it is too large");
        assert_eq!(says_why, release == Newest, "{advisory}");
    }
}

/// Guards: the limit that the consumer goes by is the server's own.
#[tokio::test]
async fn the_server_hands_a_message_out_as_often_as_the_source_says() {
    for release in [Oldest, Newest] {
        let broker = Broker::shared(release).await;
        broker.stream("limited").await;
        let source = source(&broker, "limited").declare(durable("limited").max_deliver(2));
        broker.send_plain("limited", 1).await;
        for count in 1..=2 {
            let delivery = next(&source).await.unwrap();
            assert_eq!(source.delivery_limit(), Some(2));
            assert_eq!(delivery.incoming().count, Some(count));
            delivery.give_back(Duration::ZERO).await.unwrap();
        }
        // The next one comes, and not this one.
        broker.send_plain("limited", 1).await;
        let delivery = next(&source).await.unwrap();
        assert_eq!(delivery.incoming().position, "limited/2");
        delivery.ack().await.unwrap();
    }
}

/// Guards: the bound in bytes, and that a message beyond it neither stops the source nor is asked for
/// again and again while there is no room.
#[tokio::test]
async fn a_message_that_is_larger_than_the_bound_comes_alone() {
    for release in [Oldest, Newest] {
        let broker = Broker::start(release).await;
        broker.stream("bytes").await;
        let sizes = [10, 10, 50_000, 10, 400, 400, 400, 20_000];
        for bytes in sizes {
            broker.send_plain("bytes", bytes).await;
        }
        let source = source(&broker, "bytes").prefetch_bytes(1_000);
        for (place, bytes) in sizes.into_iter().enumerate() {
            let delivery = next(&source).await.unwrap();
            assert_eq!(delivery.incoming().body.len(), bytes);
            delivery.ack().await.unwrap();
            if place == 0 {
                // The second one waits, and the third one is too large.
                let before = broker.proxy.traffic().to_server;
                tokio::time::sleep(Duration::from_millis(200)).await;
                let asked = broker.proxy.traffic().to_server - before;
                assert!(asked < 2_000, "{asked} bytes were sent meanwhile");
            }
            let taken = broker.info("bytes", "bytes").await.num_ack_pending;
            assert!(taken <= 4, "{taken} messages wait in the source");
        }
    }
}

/// Guards: the end of a consumer is told to who waits for its messages, and nobody waits for ever.
#[tokio::test]
async fn a_consumer_that_was_deleted_is_reported_and_made_again() {
    for release in [Oldest, Newest] {
        let broker = Broker::shared(release).await;
        broker.stream("deleted").await;
        let source = source(&broker, "deleted");
        broker.send_plain("deleted", 1).await;
        let delivery = next(&source).await.unwrap();
        let context = broker.context();
        let waits = next(&source);
        let delete = async {
            let deleted = context.delete_consumer_from_stream("deleted", "deleted");
            deleted.await.unwrap();
        };
        let (error, ()) = tokio::join!(waits, delete);
        let error = error.unwrap_err();
        assert!(
            !error.is_permanent() && error.reason().contains("`deleted`"),
            "{error}"
        );
        assert!(delivery.ack().await.unwrap_err().is_lost());
        // A new one begins at the beginning of the stream.
        delivered(&source).await.ack().await.unwrap();
    }
}

/// Guards: the heartbeat of a request, and the limit of a settlement. A server that hangs, or a
/// connection that nothing passes any more, says nothing.
#[tokio::test]
async fn a_server_that_does_not_answer_is_reported_and_asked_again() {
    let broker = Broker::start(Newest).await;
    broker.stream("silent").await;
    let source = source(&broker, "silent");
    broker.send_plain("silent", 1).await;
    let delivery = next(&source).await.unwrap();
    broker.server.lock().await.suspend().unwrap();
    let (error, acked) = tokio::join!(next(&source), delivery.ack());
    let error = error.unwrap_err();
    assert!(!error.is_permanent(), "{error}");
    assert!(!acked.unwrap_err().is_lost());
    broker.server.lock().await.resume().unwrap();
    broker.send_plain("silent", 1).await;
    // The first one was acknowledged after all, or comes again.
    loop {
        let delivery = delivered(&source).await;
        let position = delivery.incoming().position.clone();
        delivery.ack().await.unwrap();
        if position == "silent/2" {
            break;
        }
    }
    source.stop();
    assert!(timeout(LIMIT, source.receive()).await.unwrap().is_none());
}

/// Guards: a delivery outlives its connection and its server, and so does its ack.
#[tokio::test]
async fn what_is_in_hand_when_the_server_is_killed_can_still_be_acknowledged() {
    for release in [Oldest, Newest] {
        let broker = Broker::start(release).await;
        broker.stream("killed").await;
        let source = source(&broker, "killed").declare(durable("killed").ack_wait(LIMIT));
        broker.send_plain("killed", 1).await;
        let delivery = next(&source).await.unwrap();
        broker.restart().await;
        delivery.ack().await.unwrap();
        broker.send_plain("killed", 1).await;
        let delivery = delivered(&source).await;
        assert_eq!(delivery.incoming().position, "killed/2");
        delivery.ack().await.unwrap();
    }
}

/// Guards: the end waits for what the server has sent already. The client forgets a subscription before
/// that has arrived.
#[tokio::test]
async fn a_source_that_stops_hands_out_what_is_on_its_way() {
    const MESSAGES: usize = 50;
    let broker = Broker::start(Newest).await;
    broker.stream("stops").await;
    for _ in 0..MESSAGES {
        // More than arrives at once.
        broker.send_plain("stops", 20_000).await;
    }
    let source = source(&broker, "stops").declare(durable("stops").ack_wait(LIMIT));
    broker.proxy.delay(Duration::from_millis(50));
    let taken = async {
        let mut taken = Vec::new();
        while let Some(arrival) = timeout(LIMIT, source.receive()).await.unwrap() {
            let Ok(Arrival::Delivery(delivery)) = arrival else {
                panic!("{arrival:?}");
            };
            taken.push(delivery);
        }
        taken
    };
    let stop = async {
        while broker.info("stops", "stops").await.num_ack_pending == 0 {
            tokio::task::yield_now().await;
        }
        source.stop();
        Instant::now()
    };
    let (taken, stopped) = tokio::join!(taken, stop);
    assert!(stopped.elapsed() < Duration::from_secs(5));
    assert_eq!(taken.len(), MESSAGES);
    let acks = taken.into_iter().map(NatsDelivery::ack);
    for acked in join_all(acks).await {
        acked.unwrap();
    }
    assert_eq!(broker.info("stops", "stops").await.num_ack_pending, 0);
}

/// Guards: the heartbeat that is asked for, without which an idle source would take its server for
/// dead.
#[tokio::test]
async fn a_source_to_which_nothing_comes_goes_on_waiting() {
    let idle = async |release| {
        let broker = Broker::shared(release).await;
        broker.stream("idle").await;
        let source = source(&broker, "idle");
        let waits = timeout(Duration::from_secs(7), source.receive());
        assert!(waits.await.is_err(), "it reports something");
        broker.send_plain("idle", 1).await;
        next(&source).await.unwrap().ack().await.unwrap();
    };
    tokio::join!(idle(Oldest), idle(Newest));
}
