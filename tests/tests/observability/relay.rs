//! A relay counts what it does by target and topic, and shows nothing of a message.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use idem_runtime::{Event, Message, Outbox, PublishBatch, PublishError, Publisher, Relay, outbox};
use metrics::Unit;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use serde::Serialize;
use tracing::Level;
use tracing_subscriber::layer::SubscriberExt as _;

use super::handlers::SECRETS;
use super::{Conn, Pool, database};
use crate::capture::Capture;

#[derive(Serialize, Event)]
#[event(topic = "orders.placed", key = "to")]
struct Placed {
    to: String,
}

#[derive(Serialize, Event)]
#[event(topic = "orders.cancelled")]
struct Cancelled {
    by: String,
}

#[outbox(scope = "orders.place")]
async fn place(tx: &mut Conn, outbox: &mut Outbox<(Placed, Cancelled)>) -> Result<(), sqlx::Error> {
    let _: &mut Conn = tx;
    for n in 0..3 {
        outbox.emit(&Placed {
            to: format!("secret-{n}"),
        });
    }
    outbox.emit(&Cancelled {
        by: "secret".into(),
    });
    Ok(())
}

/// Fails once for one order, and never takes a cancellation.
#[derive(Default)]
struct Picky {
    has_failed: AtomicBool,
}

impl Picky {
    fn verdict(&self, message: &Message) -> Result<(), PublishError> {
        if message.topic == "orders.cancelled" {
            return Err(PublishError::permanent("not taken"));
        }
        let is_first = message.key.as_deref() == Some("secret-1")
            && !self.has_failed.swap(true, Ordering::Relaxed);
        if is_first {
            return Err(PublishError::retryable("not now"));
        }
        Ok(())
    }
}

impl Publisher for Picky {
    async fn publish(&self, batch: PublishBatch) {
        for (index, message) in batch.messages().iter().enumerate() {
            batch.verdict(index, self.verdict(message));
        }
    }
}

/// Guards: a count for each end of an attempt. What the log says of an event is its ID, its topic,
/// and the publisher's reason.
#[tokio::test]
async fn a_relay_counts_by_target_and_topic_and_logs_no_key_and_no_payload() {
    let database = database().await;
    let pool = Pool::connect(database.url()).await.unwrap();
    idem_runtime::migrate(&pool).await.unwrap();
    place(&pool).await.unwrap();
    let capture = Capture::default();
    let recorder = DebuggingRecorder::new();
    let stats = {
        let _recorder = metrics::set_default_local_recorder(&recorder);
        let subscriber = tracing_subscriber::registry().with(capture.clone());
        let _subscriber = idem_tests::subscribe(subscriber);
        let relay = Relay::new(pool.clone(), Picky::default())
            .target("shop")
            .backoff(Duration::from_millis(1), Duration::from_millis(1));
        relay.drain().await.unwrap()
    };
    assert_eq!(
        (stats.published, stats.failed, stats.dead_lettered),
        (3, 1, 1)
    );
    assert_counts(&recorder);
    let levels: Vec<Level> = capture
        .entries()
        .into_iter()
        .filter(|entry| entry.fields.contains_key("messaging.message.id"))
        .map(|entry| entry.level)
        .collect();
    assert!(
        levels.contains(&Level::WARN) && levels.contains(&Level::ERROR),
        "{levels:?}"
    );
    for entry in capture.entries() {
        let is_ours = entry.target.starts_with("idem_runtime");
        if entry.level <= Level::INFO || is_ours {
            let text = format!("{entry:?}").to_lowercase();
            let secret = SECRETS.iter().find(|secret| text.contains(**secret));
            assert_eq!(secret, None, "{text}");
        }
    }
}

fn assert_counts(recorder: &DebuggingRecorder) {
    // For a recorder that was installed after this program's first metric.
    metrics::with_local_recorder(recorder, idem_runtime::describe_metrics);
    let mut counted = BTreeMap::new();
    let mut looks = 0;
    for (key, unit, description, value) in recorder.snapshotter().snapshot().into_vec() {
        let labels: BTreeMap<&str, &str> = key
            .key()
            .labels()
            .map(|label| (label.key(), label.value()))
            .collect();
        assert_eq!(labels["target"], "shop");
        assert!(description.is_some_and(|text| !text.is_empty()));
        match (key.key().name(), unit, value) {
            ("idem_relay_look_seconds", Some(Unit::Seconds), DebugValue::Histogram(times)) => {
                looks += times.len();
            }
            ("idem_relay_full_look_seconds", Some(Unit::Seconds), _) => {}
            (name, Some(Unit::Count), DebugValue::Counter(count)) => {
                counted.insert((name.to_owned(), labels["topic"].to_owned()), count);
            }
            (name, unit, value) => panic!("{name} in {unit:?}: {value:?}"),
        }
    }
    assert!(looks > 0);
    let expected = [
        ("idem_relay_dead_lettered_total", "orders.cancelled", 1),
        ("idem_relay_failed_total", "orders.placed", 1),
        ("idem_relay_published_total", "orders.placed", 3),
    ];
    let expected = expected.map(|(name, topic, n)| ((name.to_owned(), topic.to_owned()), n));
    assert_eq!(counted, BTreeMap::from(expected));
}
