//! At least once, and marked only when it is confirmed.

use std::collections::HashSet;

use std::sync::atomic::AtomicBool;

use idem_runtime::{PublishError, RelayError, RelayStats};
use idem_tests::poll::drop_at_pending;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{emit, empty, relay, start, unpublished};
use crate::receivers::{Gated, Log, Short, Silent, Taken, To, within};

/// Three batches of events with and without a key.
fn some_events() -> Vec<(Option<&'static str>, u32)> {
    (0..250)
        .map(|n| ([Some("a"), Some("b"), None][n as usize % 3], n))
        .collect()
}

/// Guards: each row that was confirmed is deleted.
#[tokio::test]
async fn everything_is_published_once_under_the_id_that_emit_gave() {
    let db = start().await;
    let log = Log::new();
    let relay = relay(&db.pool, To::all(&log));
    let events = some_events();
    let ids = emit(&db.pool, &events).await.unwrap();
    let relayed = within(relay.drain()).await.unwrap();
    assert_eq!(
        (relayed.published, relayed.failed, relayed.dead_lettered),
        (250, 0, 0)
    );
    let expected: Vec<_> = events
        .into_iter()
        .zip(ids)
        .map(|((key, n), id)| Taken {
            id,
            key: key.map(str::to_owned),
            n,
        })
        .collect();
    let mut taken = log.all();
    taken.sort_unstable_by_key(|taken| taken.n);
    assert_eq!(taken, expected);
    assert_eq!(within(relay.drain()).await.unwrap(), RelayStats::default());
    assert_eq!(log.all().len(), 250);
}

/// Guards: the limit of a batch's bytes.
#[tokio::test]
async fn a_batch_is_bounded_in_bytes_and_has_at_least_one_event() {
    let db = start().await;
    let log = Log::new();
    emit(&db.pool, &some_events()).await.unwrap();
    let gate = std::sync::Arc::new(Semaphore::new(0));
    let publisher = Gated {
        log: log.clone(),
        gate: gate.clone(),
        verdict: Ok(()),
    };
    // Payloads of events without a key have 7 bytes, the others 17.
    let relay = relay(&db.pool, publisher).batch_bytes(2).in_hand(10, 2);
    let draining = tokio::spawn(relay.drain());
    log.until(|taken| !taken.is_empty()).await;
    assert_eq!(log.all().len(), 1);
    gate.add_permits(1_000);
    draining.await.unwrap().unwrap();
    assert_eq!(log.all().len(), 250);
}

/// Guards: an event is marked after its verdict, and the lease of a relay that is dropped is freed.
/// The drop hits every point at which the relay waits, with the publication behind it or before it.
#[tokio::test]
async fn a_relay_that_is_dropped_at_any_point_loses_nothing_and_changes_no_id() {
    let db = start().await;
    let log = Log::new();
    let relay = relay(&db.pool, To::all(&log)).batch(2);
    let mut ids = HashSet::new();
    let mut expected = Vec::new();
    // How often it waits differs from run to run: no one number of points is all of them.
    let mut ends = 0;
    for (round, n) in (0..200).zip((0..).step_by(3)) {
        let events = [(Some("a"), n), (Some("a"), n + 1), (None, n + 2)];
        ids.extend(emit(&db.pool, &events).await.unwrap());
        expected.extend([n, n + 1]);
        let ended = drop_at_pending(round % 40, relay.drain()).await;
        within(relay.drain()).await.unwrap();
        assert_eq!(unpublished(&db.pool).await, 0);
        ends += usize::from(ended.is_some());
        if ends >= 3 && log.all().len() > ids.len() {
            break;
        }
    }
    let taken: HashSet<_> = log.all().into_iter().map(|taken| taken.id).collect();
    assert_eq!(taken, ids);
    assert_eq!(log.of_key(Some("a")), expected);
    assert!(
        log.all().len() > ids.len(),
        "no drop fell between a publication and its mark"
    );
}

/// Guards: the same, for a receiver that has taken the events and never confirmed them.
#[tokio::test]
async fn what_was_taken_but_not_confirmed_comes_again_under_its_id() {
    let db = start().await;
    let log = Log::new();
    let mut ids = emit(&db.pool, &[(Some("a"), 1), (None, 2)]).await.unwrap();
    let crashed = tokio::spawn(relay(&db.pool, Silent(log.clone())).drain());
    log.until(|taken| taken.len() == 2).await;
    crashed.abort();
    relay(&db.pool, To::all(&log)).drain().await.unwrap();
    let mut taken: Vec<_> = log.all().into_iter().map(|taken| taken.id).collect();
    taken[..2].sort_unstable();
    taken[2..].sort_unstable();
    assert_eq!(taken[..2], taken[2..]);
    ids.sort_unstable();
    assert_eq!(taken[..2], ids);
}

/// Guards: an event without a verdict has failed, and those with one have not.
#[tokio::test]
async fn a_publisher_that_forgets_a_verdict_fails_that_event_alone() {
    let db = start().await;
    let log = Log::new();
    emit(&db.pool, &[(None, 1), (None, 2)]).await.unwrap();
    let publisher = Short {
        log: log.clone(),
        is_first: AtomicBool::new(true),
    };
    let relayed = within(relay(&db.pool, publisher).drain()).await.unwrap();
    assert_eq!((relayed.published, relayed.failed), (2, 1));
    assert_eq!(log.all().len(), 3);
}

/// Guards: a relay that is asked to stop waits for what is with the publisher.
#[tokio::test]
async fn a_shutdown_finishes_what_is_in_hand_and_begins_nothing() {
    let db = start().await;
    let log = Log::new();
    let gate = std::sync::Arc::new(Semaphore::new(0));
    let publisher = Gated {
        log: log.clone(),
        gate: gate.clone(),
        verdict: Ok(()),
    };
    emit(&db.pool, &[(None, 1), (None, 2), (None, 3)])
        .await
        .unwrap();
    let shutdown = CancellationToken::new();
    let relay = relay(&db.pool, publisher).batch(2).in_hand(2, 1 << 20);
    let running = tokio::spawn(relay.run(shutdown.clone().cancelled_owned()));
    log.until(|taken| taken.len() == 2).await;
    shutdown.cancel();
    gate.add_permits(10);
    assert_eq!(running.await.unwrap().unwrap().published, 2);
    assert_eq!(log.all().len(), 2);
    assert_eq!(unpublished(&db.pool).await, 1);
}

/// Guards: headers are read one event at a time, after the batch.
#[tokio::test]
async fn an_event_that_cant_be_read_becomes_a_dead_letter_and_stops_nothing() {
    let db = start().await;
    let log = Log::new();
    emit(&db.pool, &[(Some("a"), 1), (Some("a"), 2)])
        .await
        .unwrap();
    db.execute("UPDATE idem_outbox SET headers = '[7]' WHERE seq = (SELECT first FROM (SELECT min(seq) AS first FROM idem_outbox) AS x)",
    )
    .await;
    let relayed = relay(&db.pool, To::all(&log)).drain().await.unwrap();
    assert_eq!((relayed.published, relayed.dead_lettered), (1, 1));
    assert_eq!(log.of_key(Some("a")), [2]);
    let letters = idem_runtime::dead_letters(&db.pool, 0, 10).await.unwrap();
    let reason = &letters[0].reason;
    assert!(reason.contains("headers"), "{reason}");
}

/// Guards: the code of a missing table is known for each database.
#[tokio::test]
async fn missing_tables_are_told_by_name() {
    let db = empty().await;
    let relay = relay(&db.pool, To::all(&Log::new()));
    for error in [
        within(relay.drain()).await.unwrap_err(),
        within(relay.run(std::future::pending())).await.unwrap_err(),
    ] {
        assert!(matches!(error, RelayError::NotMigrated), "{error:?}");
    }
    let error = idem_runtime::count_dead_letters(&db.pool)
        .await
        .unwrap_err();
    assert!(
        matches!(error, idem_runtime::Error::NotMigrated),
        "{error:?}"
    );
}

/// Guards: literals are escaped, and cleared of NUL. A reason with every character that could end a
/// literal, or can't be stored.
#[tokio::test]
async fn any_reason_can_be_stored() {
    let db = start().await;
    let reason = "it's \"bad\" \\ `so`\n-- 😀 \u{0}; DROP TABLE idem_outbox";
    emit(&db.pool, &[(None, 1)]).await.unwrap();
    let publisher = To::new(&Log::new(), move |_| Err(PublishError::retryable(reason)));
    let relayed = relay(&db.pool, publisher)
        .max_attempts(2)
        .drain()
        .await
        .unwrap();
    assert_eq!((relayed.failed, relayed.dead_lettered), (1, 1));
    let letters = idem_runtime::dead_letters(&db.pool, 0, 10).await.unwrap();
    assert_eq!(letters[0].reason, reason.replace('\0', ""));
}
