//! What the suite does not ask of the source.

use std::time::{Duration, Instant, UNIX_EPOCH};

use idem_kafka::rdkafka::ClientConfig;
use idem_kafka::rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use idem_kafka::{KafkaDelivery, KafkaSource};
use idem_runtime::{Arrival, Delivery as _, Handover, Partition, Source as _, SourceError};
use tokio::time::timeout;

use crate::broker::{Broker, LEAVES, lag, mock, send_plain};
use crate::conforms::joined;

/// Far above what anything here takes.
const LIMIT: Duration = Duration::from_secs(40);

async fn arrival(source: &KafkaSource) -> Result<Arrival<KafkaDelivery>, SourceError> {
    let next = timeout(LIMIT, source.receive()).await;
    next.expect("it answers").expect("it has not ended")
}

/// The next delivery, whatever goes wrong before it. Revoked partitions are let go of at once.
async fn delivered(source: &KafkaSource) -> KafkaDelivery {
    loop {
        if let Ok(Arrival::Delivery(delivery)) = arrival(source).await {
            return delivery;
        }
    }
}

async fn failure(source: &KafkaSource) -> SourceError {
    match arrival(source).await {
        Err(error) => error,
        Ok(other) => panic!("{other:?}"),
    }
}

async fn revoked(source: &KafkaSource) -> (Vec<Partition>, Handover) {
    match arrival(source).await {
        Ok(Arrival::Revoked(partitions, handover)) => (partitions, handover),
        other => panic!("{other:?}"),
    }
}

fn body(delivery: &KafkaDelivery) -> String {
    String::from_utf8(delivery.incoming().body.clone()).unwrap()
}

fn source(config: ClientConfig) -> KafkaSource {
    KafkaSource::with(config, "ledger", ["orders"]).unwrap()
}

/// Waits for what another thread does.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < end, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Guards: what is known of a record that is no CloudEvent, and of one without a value.
#[tokio::test]
async fn a_record_of_another_producer_is_known_by_its_place() {
    let broker = Broker::start().await;
    broker.create("orders", 2).await;
    broker.send_plain("orders", 1, &[Some("{}"), None]);
    let source = source(broker.member());
    let first = delivered(&source).await;
    let incoming = first.incoming();
    assert_eq!((&*incoming.id, &*incoming.position), ("", "orders/1/0"));
    assert_eq!(
        (&*incoming.topic, incoming.key.as_deref()),
        ("orders", Some("k"))
    );
    assert_eq!(incoming.headers["tenant"], "t-1");
    assert!(!incoming.headers.contains_key("kafka_tombstone"));
    let published_at = UNIX_EPOCH + Duration::from_secs(7);
    assert_eq!(incoming.published_at, Some(published_at));
    let tombstone = delivered(&source).await;
    assert_eq!(tombstone.incoming().position, "orders/1/1");
    assert_eq!(tombstone.incoming().headers["kafka_tombstone"], "true");
    assert_eq!(first.partition(), tombstone.partition());
    first.ack().await.unwrap();
    tombstone.ack().await.unwrap();
    assert_eq!(broker.lag("orders", "ledger"), 0);
}

/// Guards: the contiguous prefix. A crash after such a commit would lose the first message.
#[tokio::test]
async fn no_offset_is_committed_past_a_message_that_is_not_settled() {
    let broker = Broker::start().await;
    broker.create("orders", 1).await;
    broker.send_plain("orders", 0, &[Some("1"), Some("2"), Some("3"), Some("4")]);
    let source = source(broker.member());
    let first = delivered(&source).await;
    let second = delivered(&source).await;
    let third = delivered(&source).await;
    second.ack().await.unwrap();
    third.reject("it is refused").await.unwrap();
    assert_eq!(broker.lag("orders", "ledger"), 4);
    // Confirmed means committed.
    first.ack().await.unwrap();
    assert_eq!(broker.lag("orders", "ledger"), 1);
}

/// Guards: the thread that polls while a handler runs. Else the group would give its partition away.
#[tokio::test]
async fn a_handler_may_run_for_longer_than_the_client_may_go_without_a_poll() {
    let broker = Broker::start().await;
    broker.create("orders", 1).await;
    let mut config = broker.member();
    config.set("max.poll.interval.ms", "6000");
    let source = source(config);
    joined(&source).await;
    broker.send_plain("orders", 0, &[Some("1")]);
    let delivery = delivered(&source).await;
    let nothing = timeout(Duration::from_secs(9), source.receive()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    delivery.ack().await.unwrap();
    assert_eq!(broker.lag("orders", "ledger"), 0);
}

/// Guards: the pause of one partition, and that it ends.
#[tokio::test]
async fn a_partition_a_window_past_its_oldest_message_is_paused_alone() {
    const WINDOW: usize = 10;
    let broker = Broker::start().await;
    broker.create("orders", 2).await;
    let values: Vec<String> = (0..30).map(|value| value.to_string()).collect();
    let values: Vec<Option<&str>> = values.iter().map(|value| Some(&**value)).collect();
    broker.send_plain("orders", 0, &values);
    let source = source(broker.member()).window(WINDOW);
    let oldest = delivered(&source).await;
    let mut later = Vec::new();
    for _ in 1..WINDOW {
        let delivery = delivered(&source).await;
        later.push(body(&delivery));
        // It changes nothing that these are settled.
        delivery.ack().await.unwrap();
    }
    // Far more than fits into a window of both, and none of the first one.
    broker.send_plain("orders", 1, &values);
    for _ in 0..30 {
        let delivery = delivered(&source).await;
        assert!(delivery.incoming().position.starts_with("orders/1/"));
        delivery.ack().await.unwrap();
    }
    oldest.ack().await.unwrap();
    while later.len() < 29 {
        let delivery = delivered(&source).await;
        later.push(body(&delivery));
        delivery.ack().await.unwrap();
    }
    let expected: Vec<String> = (1..30).map(|value| value.to_string()).collect();
    assert_eq!(later, expected);
    until("all are committed", || broker.lag("orders", "ledger") == 0).await;
}

/// Guards: what an earlier owner may have had in hand counts as handed out before, so that a message
/// that ends the process is found out; what came afterwards does not.
#[tokio::test]
async fn what_an_earlier_owner_may_have_had_says_so_and_nothing_else_does() {
    let broker = Broker::start().await;
    broker.create("orders", 1).await;
    let first = source(broker.member());
    joined(&first).await;
    broker.send_plain("orders", 0, &[Some("1"), Some("2"), Some("3")]);
    let delivery = delivered(&first).await;
    assert!(!delivery.incoming().redelivered);
    drop(delivery);
    first.stop();
    until("the first one leaves", || first.partitions() == 0).await;
    tokio::time::sleep(LEAVES).await;
    let second = source(broker.member()).window(2);
    let mut again = Vec::new();
    for _ in 0..3 {
        let delivery = delivered(&second).await;
        again.push(delivery.incoming().redelivered);
        delivery.ack().await.unwrap();
    }
    // No owner has more than a window in hand.
    assert_eq!(again, [true, true, false]);
    broker.send_plain("orders", 0, &[Some("4")]);
    assert!(!delivered(&second).await.incoming().redelivered);
}

/// Guards: a member that ends says so. Else its partitions would wait for the end of its session.
#[tokio::test]
async fn who_leaves_a_group_says_so() {
    let broker = Broker::start().await;
    broker.create("orders", 1).await;
    let mut config = broker.member();
    let session = Duration::from_secs(20);
    config.set("session.timeout.ms", session.as_millis().to_string());
    let first = source(config.clone());
    joined(&first).await;
    let left = Instant::now();
    first.stop();
    until("the first one leaves", || first.partitions() == 0).await;
    tokio::time::sleep(LEAVES).await;
    let second = source(config);
    broker.send_plain("orders", 0, &[Some("1")]);
    delivered(&second).await.ack().await.unwrap();
    assert!(left.elapsed() < session, "{:?}", left.elapsed());
}

/// Guards: an instance that another one has replaced ends, and says which setting is wrong.
#[tokio::test]
async fn an_instance_whose_name_another_one_has_ends_with_the_fix() {
    let (cluster, mut config) = mock();
    config.set("group.instance.id", "one");
    config.set("heartbeat.interval.ms", "100");
    let source = source(config);
    joined(&source).await;
    let fenced = RDKafkaRespErr::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID;
    cluster.request_errors(RDKafkaApiKey::Heartbeat, &[fenced]);
    let error = failure(&source).await;
    assert!(error.is_permanent(), "{error}");
    assert!(error.reason().contains("group.instance.id"), "{error}");
}

/// Guards: an ack is confirmed once a commit is, and one that fails is made again.
#[tokio::test]
async fn a_commit_that_fails_is_made_again() {
    let (cluster, config) = mock();
    send_plain(config.clone(), "orders", 0, &[Some("1")]);
    let source = source(config.clone());
    let delivery = delivered(&source).await;
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    cluster.request_errors(RDKafkaApiKey::OffsetCommit, &[refused; 3]);
    delivery.ack().await.unwrap();
    assert_eq!(lag(config, "orders", "ledger"), 0);
}

/// With one assignor: two partitions with a message in hand each, and another instance that joins.
async fn hands_over(assignor: &str) {
    let broker = Broker::start().await;
    broker.create("orders", 2).await;
    let mut config = broker.member();
    config.set("partition.assignment.strategy", assignor);
    let first = source(config.clone()).window(1);
    joined(&first).await;
    for partition in 0..2 {
        // The second of each waits behind the window, in a partition that is paused.
        broker.send_plain("orders", partition, &[Some("1"), Some("2")]);
    }
    let mut in_hand = vec![delivered(&first).await, delivered(&first).await];
    let second = source(config);
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let joining = tokio::spawn(async move {
        while let Some(arrival) = second.receive().await {
            if let Ok(Arrival::Delivery(delivery)) = arrival {
                tell.send(delivery.incoming().position.clone()).unwrap();
                delivery.ack().await.unwrap();
            }
        }
    });
    let (partitions, handover) = revoked(&first).await;
    assert!(!partitions.is_empty());
    // What runs of them ends in its own time, and nobody else has got it.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(told.try_recv().is_err(), "it was taken away while it runs");
    let place = in_hand.iter();
    let place = place
        .clone()
        .position(|one| partitions.contains(&one.partition()));
    let running = in_hand.swap_remove(place.unwrap());
    let moved = running.incoming().position.clone();
    running.ack().await.unwrap();
    let kept = in_hand.remove(0);
    let is_kept = !partitions.contains(&kept.partition());
    drop(handover);
    if is_kept {
        kept.ack().await.unwrap();
    } else {
        // An eager group gives all up, and what was not settled is the next owner's.
        let lost = async {
            let late = kept;
            until("both are taken away", || first.partitions() < 2).await;
            late.ack().await
        };
        drop(lost.await);
    }
    // All four come, those that were settled and committed not again, whoever has them.
    let mut seen = vec![moved.clone()];
    let all = async {
        let is_over = |seen: &[String]| {
            ["orders/0/1", "orders/1/1"]
                .iter()
                .all(|place| seen.iter().any(|other| other == place))
        };
        while !is_over(&seen) {
            tokio::select! {
                position = told.recv() => seen.push(position.unwrap()),
                delivery = delivered(&first) => {
                    seen.push(delivery.incoming().position.clone());
                    delivery.ack().await.unwrap();
                }
            }
        }
    };
    timeout(LIMIT, all).await.expect("a partition is stuck");
    assert_eq!(seen.iter().filter(|place| **place == moved).count(), 1);
    joining.abort();
}

/// Guards: the callback that waits for the handover, the commit in it, and that a pause does not
/// outlive its assignment.
#[tokio::test]
async fn partitions_are_given_up_after_what_runs_was_committed_in_a_cooperative_group() {
    hands_over("cooperative-sticky").await;
}

/// The same where all partitions are given up at each change.
#[tokio::test]
async fn partitions_are_given_up_after_what_runs_was_committed_in_an_eager_group() {
    hands_over("range").await;
}

/// Guards: a topic that is not there is an error with the fix, not a consumer that waits for ever.
#[tokio::test]
async fn a_topic_that_is_not_there_ends_the_consumer_with_the_fix() {
    let broker = Broker::start().await;
    let source = source(broker.member());
    let error = failure(&source).await;
    assert!(error.is_permanent(), "{error}");
    assert!(error.reason().contains("create it"), "{error}");
}

/// Guards: brokers that can't be reached are reported, and waited for.
#[tokio::test]
async fn brokers_that_are_away_are_an_error_that_passes() {
    let broker = Broker::start().await;
    broker.create("orders", 1).await;
    broker.send_plain("orders", 0, &[Some("1")]);
    broker.server.proxy().refuse(true);
    let source = source(broker.member());
    let error = failure(&source).await;
    assert!(!error.is_permanent(), "{error}");
    broker.server.proxy().refuse(false);
    delivered(&source).await.ack().await.unwrap();
}
