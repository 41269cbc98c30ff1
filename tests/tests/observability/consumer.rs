//! A consumer counts what it does by name, topic and outcome, and shows nothing of a message.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use idem_runtime::{
    Backoff, Consumer, ConsumerStats, Event, Incoming, Received, describe_metrics, idempotent,
};
use idem_testing::{Settled, TestSource};
use metrics::Unit;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tracing_subscriber::layer::SubscriberExt as _;

use super::handlers::{Refused, SECRETS};
use super::{Conn, Pool, database};
use crate::capture::Capture;

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(topic = "orders", key = "account")]
struct Order {
    account: String,
    fails: bool,
}

/// Fails for good, or once.
#[idempotent(key = "order.id", scope = "orders.book", handler = Book)]
async fn book(tx: &mut Conn, order: &Received<Order>) -> Result<(), Refused> {
    let _: &mut Conn = tx;
    if order.data.fails {
        return Err(Refused {
            text: "secret".into(),
        });
    }
    Ok(())
}

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(topic = "refunds", key = "account")]
struct Refund {
    account: String,
}

/// Fails for ever, and may be tried again.
#[idempotent(key = "refund.id", scope = "refunds.book", handler = BookRefund)]
async fn book_refund(tx: &mut Conn, refund: &Received<Refund>) -> Result<(), sqlx::Error> {
    let _: (&mut Conn, &Received<Refund>) = (tx, refund);
    Err(sqlx::Error::Protocol("secret".into()))
}

fn order(id: &str, fails: bool) -> Incoming {
    let order = Order {
        account: "secret-account".into(),
        fails,
    };
    let mut incoming = Incoming::of_event(id, &order).unwrap();
    incoming.published_at = Some(SystemTime::now());
    incoming
}

fn refund(n: u32) -> Incoming {
    let refund = Refund {
        account: format!("secret-{n}"),
    };
    Incoming::of_event(format!("parked-{n}"), &refund).unwrap()
}

/// Guards: a metric for each thing that becomes of a delivery, and gauges that go back to 0. What
/// the log says of a message is its ID and its type.
#[tokio::test]
async fn a_consumer_counts_by_name_topic_and_outcome_and_logs_no_key_and_no_payload() {
    let database = database().await;
    let pool = Pool::connect(database.url()).await.unwrap();
    idem_runtime::migrate(&pool).await.unwrap();
    let capture = Capture::default();
    let recorder = DebuggingRecorder::new();
    let stats = {
        let _recorder = metrics::set_default_local_recorder(&recorder);
        let subscriber = tracing_subscriber::registry().with(capture.clone());
        let _subscriber = idem_tests::subscribe(subscriber);
        consume(pool.clone()).await
    };
    assert_eq!(
        (stats.handled, stats.failed, stats.dead_lettered),
        (2, 5, 2)
    );
    assert_metrics(&recorder);
    let messages: Vec<_> = capture
        .entries()
        .into_iter()
        .map(|entry| format!("{entry:?}"))
        .collect();
    let says = |text| messages.iter().any(|message| message.contains(text));
    assert!(says("the database fails"), "{messages:?}");
    for entry in capture.entries() {
        if entry.target.starts_with("idem_runtime") {
            let text = format!("{entry:?}").to_lowercase();
            let secret = SECRETS.iter().find(|secret| text.contains(**secret));
            assert_eq!(secret, None, "{text}");
        }
    }
}

async fn consume(pool: Pool) -> ConsumerStats {
    let day = Duration::from_hours(24);
    let source = TestSource::new();
    let (stop, stopped) = oneshot::channel::<()>();
    let consumer = Consumer::new("shop", source.clone())
        .on::<Book>()
        .on::<BookRefund>()
        .hold(Duration::ZERO)
        .retry(Backoff::exponential(day, day));
    let running = tokio::spawn(async move {
        consumer
            .run(&pool, async {
                let _ = stopped.await;
            })
            .await
    });
    let mut unknown = order("unknown", false);
    unknown.kind = "Unknown".into();
    for incoming in [
        order("booked-1", false),
        order("booked-2", false),
        order("refused", true),
        unknown,
        refund(0),
        refund(1),
        refund(2),
        refund(3),
        // So many in a row are taken for an outage, which is logged.
        refund(4),
    ] {
        let delivery = source.deliver(incoming);
        delivery.assert_settled(Settled::Acked).await;
    }
    let _ = stop.send(());
    running.await.unwrap().unwrap()
}

fn assert_metrics(recorder: &DebuggingRecorder) {
    // For a recorder that was installed after this program's first metric.
    metrics::with_local_recorder(recorder, describe_metrics);
    let mut counted = BTreeMap::new();
    let mut gauges = BTreeMap::new();
    let mut ages = 0;
    for (key, unit, description, value) in recorder.snapshotter().snapshot().into_vec() {
        let name = key.key().name();
        if !name.starts_with("idem_consumer_") {
            continue;
        }
        let labels: BTreeMap<&str, &str> = key
            .key()
            .labels()
            .map(|label| (label.key(), label.value()))
            .collect();
        assert_eq!(labels["consumer"], "shop");
        assert!(description.is_some_and(|text| !text.is_empty()));
        match (unit, value) {
            (Some(Unit::Seconds), DebugValue::Histogram(times)) => {
                assert_eq!(
                    (name, labels["topic"]),
                    ("idem_consumer_age_seconds", "orders")
                );
                ages += times.len();
            }
            (Some(Unit::Count), DebugValue::Counter(count)) => {
                let label = labels.get("outcome").unwrap_or_else(|| &labels["topic"]);
                counted.insert(
                    (
                        (*label).to_owned(),
                        labels.get("scope").map(ToString::to_string),
                    ),
                    count,
                );
            }
            (Some(Unit::Count | Unit::Bytes), DebugValue::Gauge(value)) => {
                gauges.insert(name.to_owned(), value.into_inner());
            }
            (unit, value) => panic!("{name} in {unit:?}: {value:?}"),
        }
    }
    let expected = [
        ("orders", None, 4),
        ("refunds", None, 5),
        ("handled", Some("orders.book"), 2),
        ("dead_lettered", Some("orders.book"), 1),
        ("dead_lettered", Some("none"), 1),
        ("failed", Some("refunds.book"), 5),
        ("parked", Some("refunds.book"), 5),
    ];
    let expected =
        expected.map(|(label, scope, n)| ((label.to_owned(), scope.map(ToOwned::to_owned)), n));
    assert_eq!(counted, BTreeMap::from(expected));
    let expected = [
        ("idem_consumer_in_hand", 0.0),
        ("idem_consumer_in_hand_bytes", 0.0),
        ("idem_consumer_parked", 5.0),
    ];
    assert_eq!(
        gauges,
        BTreeMap::from(expected.map(|(name, value)| (name.to_owned(), value)))
    );
    assert_eq!(ages, 2);
}
