//! What an operator sees of a batch: one span, and a count for each delivery.

use std::collections::BTreeMap;

use idem_runtime::{Error, idempotent};
use idem_tests::poll::drop_at_pending;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use sqlx::Executor as _;
use tracing::Level;
use tracing_subscriber::layer::SubscriberExt as _;

use super::handlers::{Act, Delivery, Receipt, Refused, SECRETS, delivery};
use super::{Conn, Pool, database};
use crate::capture::Capture;

#[idempotent(
    key = "delivery.key()",
    scope = "batches.apply",
    fingerprint = "delivery.amount",
    batch = "delivery in deliveries"
)]
async fn apply_all(tx: &mut Conn, deliveries: &[&Delivery]) -> Result<Vec<Receipt>, Refused> {
    tracing::info!("in the body");
    tx.execute("SELECT 1").await?;
    let text = || "secret-receipt".to_owned();
    let mut receipts = Vec::new();
    for delivery in deliveries {
        match delivery.act {
            Act::Succeed => receipts.push(Receipt { text: text() }),
            Act::Fail => return Err(Refused { text: text() }),
            // One result too few.
            _ => {}
        }
    }
    Ok(receipts)
}

/// How each call ends, and with which outcome each of its deliveries.
async fn every_end(pool: &Pool) -> Vec<(&'static str, u64, Vec<&'static str>)> {
    let of = |number, act| delivery(number, act);
    let (a, b) = (of(1, Act::Succeed), of(2, Act::Succeed));
    let other = Delivery { amount: 7, ..a };
    let mut seen = Vec::new();
    assert!(apply_all(pool, &[&a]).await.is_ok());
    seen.push(("executed", 1, vec!["executed"]));
    assert!(apply_all(pool, &[&a, &b, &other]).await.is_ok());
    let each = vec!["executed", "replayed", "fingerprint_mismatch"];
    seen.push(("executed", 3, each));
    assert!(apply_all(pool, &[&b, &a]).await.is_ok());
    seen.push(("replayed", 2, vec!["replayed"; 2]));
    assert!(apply_all(pool, &[&other]).await.is_ok());
    seen.push(("fingerprint_mismatch", 1, vec!["fingerprint_mismatch"]));
    let (c, fails, short) = (of(3, Act::Succeed), of(4, Act::Fail), of(5, Act::Commit));
    assert!(apply_all(pool, &[&c, &fails]).await.is_err());
    seen.push(("handler_error", 2, vec!["handler_error"; 2]));
    let refused = apply_all(pool, &[&c, &short]).await;
    assert!(matches!(refused, Err(Error::BatchLength { .. })));
    seen.push(("batch_length", 2, vec!["batch_length"; 2]));
    let batch = [&c, &fails];
    let dropped = drop_at_pending(1, apply_all(pool, &batch)).await;
    assert!(dropped.is_none());
    seen.push(("cancelled", 2, vec!["cancelled"; 2]));
    seen
}

#[tokio::test]
async fn a_batch_is_one_span_and_counts_each_of_its_deliveries() {
    let database = database().await;
    let pool = Pool::connect(database.url()).await.unwrap();
    idem_runtime::migrate(&pool).await.unwrap();
    let capture = Capture::default();
    let recorder = DebuggingRecorder::new();
    let ends = {
        let _recorder = metrics::set_default_local_recorder(&recorder);
        let subscriber = tracing_subscriber::registry().with(capture.clone());
        let _subscriber = idem_tests::subscribe(subscriber);
        every_end(&pool).await
    };
    let spans = capture.spans();
    let found: Vec<_> = spans
        .iter()
        .map(|span| {
            assert_eq!(span.fields["idem.scope"], "batches.apply");
            let count = &span.fields["messaging.batch.message_count"];
            (span.fields["idem.outcome"].clone(), count.parse().unwrap())
        })
        .collect();
    let expected: Vec<(String, u64)> = ends
        .iter()
        .map(|(outcome, count, _)| ((*outcome).to_owned(), *count))
        .collect();
    assert_eq!(found, expected);

    let mut counted = BTreeMap::new();
    for (key, _, _, value) in recorder.snapshotter().snapshot().into_vec() {
        if let DebugValue::Counter(calls) = value {
            let mut labels = key.key().labels();
            let outcome = labels.find(|label| label.key() == "outcome");
            *counted
                .entry(outcome.unwrap().value().to_owned())
                .or_insert(0) += calls;
        }
    }
    let mut expected = BTreeMap::new();
    for outcome in ends.iter().flat_map(|(_, _, each)| each) {
        *expected.entry((*outcome).to_owned()).or_insert(0) += 1;
    }
    assert_eq!(counted, expected);

    for entry in capture.entries() {
        let is_ours = entry.target.starts_with("idem_runtime");
        if entry.level <= Level::INFO || is_ours {
            let text = format!("{entry:?}").to_lowercase();
            assert!(
                !SECRETS.iter().any(|secret| text.contains(secret)),
                "{text}"
            );
        }
    }
}
