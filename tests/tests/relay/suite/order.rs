//! In order per key, whatever fails.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use idem_runtime::PublishError;
use idem_tests::poll::drop_at_pending;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio_util::sync::CancellationToken;

use super::{emit, relay, start, unpublished};
use crate::receivers::{Log, To};

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Guards: the events of a key wait for the retry of its first one, and of a key only what stands
/// before its first failure is settled.
#[tokio::test]
async fn each_key_stays_in_order_while_the_receiver_fails_at_random() {
    for seed in 0..4 {
        let db = start().await;
        let log = Log::new();
        let rng = Mutex::new(StdRng::seed_from_u64(seed));
        let publisher = To::new(&log, move |_| {
            if rng.lock().unwrap().random_bool(0.3) {
                Err(PublishError::retryable("now and then"))
            } else {
                Ok(())
            }
        });
        let mut expected: HashMap<_, Vec<u32>> = HashMap::new();
        for round in 0..10 {
            let events: Vec<_> = (0..12)
                .map(|n| (KEYS.get(n as usize % 6).copied(), round * 12 + n))
                .collect();
            emit(&db.pool, &events).await.unwrap();
            for (key, n) in events {
                expected.entry(key).or_default().push(n);
            }
        }
        let relay = relay(&db.pool, publisher).batch(20).max_attempts(1_000);
        let relayed = relay.drain().await.unwrap();
        assert_eq!((relayed.published, relayed.dead_lettered), (120, 0));
        assert!(relayed.failed > 0);
        assert_eq!(log.all().len(), 120, "seed {seed}: something came twice");
        for key in KEYS {
            assert_eq!(log.of_key(Some(key)), expected[&Some(key)], "seed {seed}");
        }
        let mut loose = log.of_key(None);
        loose.sort_unstable();
        assert_eq!(loose, expected[&None], "seed {seed}");
    }
}

/// Guards: of what a key holds back only the numbers are kept. Without that it fills up the memory
/// that a relay may use.
#[tokio::test]
async fn a_key_that_is_stuck_delays_no_other_event_however_much_it_holds_back() {
    let db = start().await;
    let log = Log::new();
    let publisher = To::new(&log, |message| match message.key.as_deref() {
        Some("stuck") => Err(PublishError::retryable("stuck")),
        _ => Ok(()),
    });
    let stuck: Vec<_> = (0..5_000).map(|n| (Some("stuck"), n)).collect();
    emit(&db.pool, &stuck).await.unwrap();
    let healthy: Vec<_> = (0..200)
        .map(|n| ([Some("a"), None][n as usize % 2], n))
        .collect();
    emit(&db.pool, &healthy).await.unwrap();

    let an_hour = Duration::from_hours(1);
    let shutdown = CancellationToken::new();
    // Full jitter may choose a pause close to nothing: then the key is tried again, and fails
    // again.
    let relay = relay(&db.pool, publisher)
        .batch(50)
        .in_hand(100, 1 << 20)
        .backoff(an_hour, an_hour);
    let running = tokio::spawn(relay.run(shutdown.clone().cancelled_owned()));
    log.until(|taken| taken.len() == 200).await;
    shutdown.cancel();
    let relayed = running.await.unwrap().unwrap();
    assert_eq!(relayed.published, 200);
    assert_eq!(unpublished(&db.pool).await, 5_000);
    let tried = "SELECT count(*) FROM idem_attempts";
    assert_eq!(db.number(tried).await, 1);
}

/// Guards: the pause is kept in the database, so a relay that comes after keeps it too.
#[tokio::test]
async fn a_key_that_waits_for_its_retry_is_not_overtaken_by_another_relay() {
    let db = start().await;
    let log = Log::new();
    emit(&db.pool, &[(Some("a"), 1), (Some("a"), 2), (Some("b"), 3)])
        .await
        .unwrap();
    let an_hour = Duration::from_hours(1);
    let refusing = To::new(&log, |message| match message.key.as_deref() {
        Some("a") => Err(PublishError::retryable("no")),
        _ => Ok(()),
    });
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(
        relay(&db.pool, refusing)
            .backoff(an_hour, an_hour)
            .run(shutdown.clone().cancelled_owned()),
    );
    log.until(|taken| taken.len() == 1).await;
    shutdown.cancel();
    running.await.unwrap().unwrap();

    emit(&db.pool, &[(Some("a"), 4), (Some("b"), 5)])
        .await
        .unwrap();
    let shutdown = CancellationToken::new();
    let running =
        tokio::spawn(relay(&db.pool, To::all(&log)).run(shutdown.clone().cancelled_owned()));
    log.until(|taken| taken.len() == 2).await;
    shutdown.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(log.of_key(Some("b")), [3, 5]);
    assert_eq!(log.of_key(Some("a")), [0; 0]);
}

/// Guards: a pause that the receiver asks for is kept when it is longer than the backoff.
#[tokio::test]
async fn a_receiver_that_asks_for_a_pause_gets_it() {
    let db = start().await;
    let log = Log::new();
    emit(&db.pool, &[(Some("a"), 1), (None, 2)]).await.unwrap();
    let publisher = To::new(&log, |message| match message.key {
        Some(_) => Err(PublishError::retryable("busy").after(Duration::from_mins(10))),
        None => Ok(()),
    });
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(relay(&db.pool, publisher).run(shutdown.clone().cancelled_owned()));
    log.until(|taken| taken.len() == 1).await;
    shutdown.cancel();
    assert_eq!(running.await.unwrap().unwrap().failed, 1);
    let waits = idem_runtime::Relay::new(db.pool.clone(), To::all(&log));
    assert!(drop_at_pending(50, waits.drain()).await.is_none());
    assert_eq!(log.all().len(), 1);
}
