use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use idem_runtime::Error;
use metrics::Unit;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use sqlx::Executor as _;
use tracing::Level;
use tracing_subscriber::layer::SubscriberExt as _;

use super::handlers::{
    Act, Delivery, HANGS, Refused, SECRETS, Unstorable, apply, decline, delivery, refuse, register,
    weigh,
};
use super::{Pool, SYSTEM, database};
use crate::capture::{Capture, Entry, Fields};

/// The ways that `on_error` and `on_duplicate` add.
async fn every_end_of_an_error(pool: &Pool, seen: &mut Vec<(&'static str, &'static str)>) {
    use Act::{Fail, Succeed};
    assert!(matches!(
        refuse(pool, delivery(1, Fail)).await,
        Err(Error::Handler {
            replayed: false,
            ..
        })
    ));
    seen.push(("payments.refuse", "handler_error"));
    assert!(matches!(
        refuse(pool, delivery(1, Fail)).await,
        Err(Error::Handler { replayed: true, .. })
    ));
    seen.push(("payments.refuse", "replayed_error"));
    assert!(matches!(
        decline(pool, delivery(1, Fail)).await,
        Err(Error::Handler { .. })
    ));
    seen.push(("payments.decline", "handler_error"));
    assert!(matches!(
        weigh(pool, delivery(1, Succeed)).await,
        Err(Error::ResultNotFaithful { .. })
    ));
    seen.push(("payments.weigh", "result_not_faithful"));
}

/// Every way in which a call ends, once; what each is called.
async fn every_outcome(empty: &Pool, pool: &Pool) -> Vec<(&'static str, &'static str)> {
    use Act::{Commit, Fail, Hang, Panic, Succeed};
    let mut seen = Vec::new();

    assert!(
        apply(pool, delivery(1, Succeed))
            .await
            .unwrap()
            .is_executed()
    );
    seen.push(("payments.apply", "executed"));
    assert!(
        !apply(pool, delivery(1, Succeed))
            .await
            .unwrap()
            .is_executed()
    );
    seen.push(("payments.apply", "replayed"));
    let other = Delivery {
        amount: 2,
        ..delivery(1, Succeed)
    };
    assert!(matches!(
        apply(pool, other).await,
        Err(Error::FingerprintMismatch)
    ));
    seen.push(("payments.apply", "fingerprint_mismatch"));
    assert!(matches!(
        apply(pool, delivery(2, Fail)).await,
        Err(Error::Handler {
            replayed: false,
            ..
        })
    ));
    seen.push(("payments.apply", "handler_error"));
    assert!(matches!(
        apply(pool, delivery(3, Commit)).await,
        Err(Error::RolledBack)
    ));
    seen.push(("payments.apply", "rolled_back"));
    assert!(matches!(
        apply(pool, delivery(3, Succeed)).await,
        Err(Error::Unfinished)
    ));
    seen.push(("payments.apply", "unfinished"));
    assert!(
        AssertUnwindSafe(apply(pool, delivery(4, Panic)))
            .catch_unwind()
            .await
            .is_err()
    );
    seen.push(("payments.apply", "panicked"));

    let mut first = Box::pin(apply(pool, delivery(5, Hang)));
    tokio::select! {
        ended = &mut first => panic!("it hangs: {ended:?}"),
        () = HANGS.notified() => {}
    }
    let second = apply(pool, delivery(5, Succeed)).await;
    assert!(matches!(second, Err(Error::InFlight)));
    seen.push(("payments.apply", "in_flight"));
    drop(first);
    seen.push(("payments.apply", "cancelled"));

    pool.execute("UPDATE idem_keys SET result_version = 9")
        .await
        .unwrap();
    assert!(matches!(
        apply(pool, delivery(1, Succeed)).await,
        Err(Error::ResultUndecodable)
    ));
    seen.push(("payments.apply", "result_undecodable"));
    assert!(matches!(
        apply(empty, delivery(1, Succeed)).await,
        Err(Error::NotMigrated)
    ));
    seen.push(("payments.apply", "not_migrated"));
    empty.close().await;
    assert!(matches!(
        apply(empty, delivery(1, Succeed)).await,
        Err(Error::Store(_))
    ));
    seen.push(("payments.apply", "store_error"));

    every_end_of_an_error(pool, &mut seen).await;
    register(pool).await.unwrap();
    seen.push(("users.register", "executed"));
    seen
}

#[tokio::test]
async fn every_outcome_is_seen_and_nothing_that_is_private() {
    let (there, none) = (database().await, database().await);
    let pool = Pool::connect(there.url()).await.unwrap();
    let empty = Pool::connect(none.url()).await.unwrap();
    idem_runtime::migrate(&pool).await.unwrap();
    let capture = Capture::default();
    let recorder = DebuggingRecorder::new();
    let outcomes = {
        let _recorder = metrics::set_default_local_recorder(&recorder);
        let subscriber = tracing_subscriber::registry().with(capture.clone());
        let _subscriber = idem_tests::subscribe(subscriber);
        every_outcome(&empty, &pool).await
    };

    assert_spans(&capture, &outcomes);
    assert_metrics(&recorder, &outcomes);
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

fn assert_spans(capture: &Capture, outcomes: &[(&str, &str)]) {
    // The call that is cancelled ends after the one that finds it in flight, and started before.
    let mut by_start = outcomes.to_vec();
    let cancelled = by_start
        .iter()
        .position(|seen| seen.1 == "cancelled")
        .unwrap();
    by_start.swap(cancelled - 1, cancelled);
    let spans = capture.spans();
    let found: Vec<(&str, &str)> = spans
        .iter()
        .map(|span| (&*span.fields["idem.scope"], &*span.fields["idem.outcome"]))
        .collect();
    assert_eq!(found, by_start);
    let of = |outcome: &str| {
        spans
            .iter()
            .find(|span| span.fields["idem.outcome"] == outcome)
            .unwrap()
    };
    let expected = |scope: &str, more: &[(&str, &str)]| -> Fields {
        let name = format!("process {scope}");
        let always = [
            ("messaging.operation.type", "process"),
            ("messaging.operation.name", "process"),
            ("db.system.name", SYSTEM),
            ("idem.scope", scope),
            ("otel.kind", "consumer"),
            ("otel.name", &name),
        ];
        let fields = always.iter().chain(more);
        fields
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    let executed = [("idem.outcome", "executed"), ("idem.attempts", "1")];
    assert_eq!(of("executed").name, "process");
    assert_eq!(of("executed").level, Level::INFO);
    assert_eq!(of("executed").fields, expected("payments.apply", &executed));
    assert_eq!(
        of("replayed").fields,
        expected("payments.apply", &[("idem.outcome", "replayed")])
    );
    let in_flight = [
        ("idem.outcome", "in_flight"),
        ("error.type", "in_flight"),
        ("otel.status_code", "ERROR"),
    ];
    assert_eq!(
        of("in_flight").fields,
        expected("payments.apply", &in_flight)
    );
    let refused = [
        ("idem.outcome", "replayed_error"),
        ("error.type", std::any::type_name::<Refused>()),
        ("otel.status_code", "ERROR"),
    ];
    assert_eq!(
        of("replayed_error").fields,
        expected("payments.refuse", &refused)
    );
    assert_eq!(spans.last().unwrap().name, "transaction");

    let entries = capture.entries();
    let message = |entry: &&Entry, text: &str| {
        entry
            .fields
            .get("message")
            .is_some_and(|message| message == text)
    };
    let bodies = entries.iter().filter(|entry| message(entry, "in the body"));
    for body in bodies.clone() {
        let span = &entries[body.within.unwrap()];
        assert_eq!(span.fields["idem.scope"], "payments.apply");
        assert_eq!(span.fields["idem.attempts"], "1");
    }
    assert_eq!(bodies.count(), 5);
    let alarms: Vec<&str> = entries
        .iter()
        .filter(|entry| entry.level == Level::WARN && message(entry, "not handled"))
        .map(|entry| &*entry.fields["idem.outcome"])
        .collect();
    let expected = [
        "fingerprint_mismatch",
        "rolled_back",
        "unfinished",
        "result_undecodable",
        "not_migrated",
        "result_not_faithful",
    ];
    assert_eq!(alarms, expected);
    let unrecorded: Vec<_> = entries
        .iter()
        .filter(|entry| {
            entry.level == Level::WARN && message(entry, "a permanent error was not recorded")
        })
        .map(|entry| (&*entry.fields["idem.scope"], &*entry.fields["error"]))
        .collect();
    let why = format!(
        "the `{}` that the handler returned is another value when it is read back from JSON",
        std::any::type_name::<Unstorable>()
    );
    assert_eq!(unrecorded, [("payments.decline", &*why)]);
}

fn assert_metrics(recorder: &DebuggingRecorder, outcomes: &[(&str, &str)]) {
    // For a recorder that was installed after this program's first call.
    metrics::with_local_recorder(recorder, idem_runtime::describe_metrics);
    let mut counted: BTreeMap<(String, String), [u64; 2]> = BTreeMap::new();
    for (key, unit, description, value) in recorder.snapshotter().snapshot().into_vec() {
        let labels: BTreeMap<&str, &str> = key
            .key()
            .labels()
            .map(|label| (label.key(), label.value()))
            .collect();
        let count = counted
            .entry((labels["scope"].to_owned(), labels["outcome"].to_owned()))
            .or_default();
        assert!(description.is_some_and(|text| !text.is_empty()));
        match (key.key().name(), unit, value) {
            ("idem_calls_total", Some(Unit::Count), DebugValue::Counter(calls)) => {
                count[0] += calls;
            }
            ("idem_call_duration_seconds", Some(Unit::Seconds), DebugValue::Histogram(times)) => {
                let seconds = times.iter().map(|time| time.into_inner());
                assert!(
                    seconds
                        .clone()
                        .all(|seconds| (0.0..60.0).contains(&seconds))
                );
                count[1] += seconds.count() as u64;
            }
            (name, unit, value) => panic!("{name} in {unit:?}: {value:?}"),
        }
    }
    let expected: BTreeMap<(String, String), [u64; 2]> = outcomes
        .iter()
        .map(|&(scope, outcome)| ((scope.to_owned(), outcome.to_owned()), [1, 1]))
        .collect();
    assert_eq!(counted, expected);
}
