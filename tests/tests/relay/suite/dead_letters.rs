//! Events that are given up, and replayed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use idem_runtime::{
    DeadLetterFilter, PublishError, count_dead_letters, dead_letters, replay_dead_letters,
};

use super::{emit, relay, start};
use crate::receivers::{Log, To, n_of, within};

/// Guards: the count of attempts in the database, and the way back that keeps the event as it was.
#[tokio::test]
async fn an_event_that_fails_too_often_is_put_aside_and_can_be_replayed() {
    let db = start().await;
    let log = Log::new();
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = broken.clone();
    let publisher = To::new(&log, move |message| {
        if n_of(message) == 2 && is_broken.load(Ordering::Relaxed) {
            Err(PublishError::retryable("out of order"))
        } else {
            Ok(())
        }
    });
    let ids = emit(&db.pool, &[(Some("a"), 1), (Some("a"), 2), (Some("a"), 3)])
        .await
        .unwrap();
    let relay = relay(&db.pool, publisher).max_attempts(3);
    let relayed = within(relay.drain()).await.unwrap();
    assert_eq!(
        (relayed.published, relayed.failed, relayed.dead_lettered),
        (2, 2, 1)
    );
    assert_eq!(log.of_key(Some("a")), [1, 3]);

    assert_eq!(count_dead_letters(&db.pool).await.unwrap(), 1);
    let letters = dead_letters(&db.pool, 0, 10).await.unwrap();
    let [letter] = letters.as_slice() else {
        panic!("{letters:?}");
    };
    assert_eq!(
        (letter.attempts, letter.reason.as_str(), letter.message.id),
        (3, "out of order", ids[1])
    );
    assert_eq!(letter.message.topic, "happenings");
    assert_eq!(letter.message.kind, "Happened");
    assert_eq!(letter.message.payload, br#"{"key":"a","n":2}"#);
    let age = letter.died_at.duration_since(letter.message.created_at);
    assert!(age.is_ok_and(|age| age.as_secs() < 60));
    let rest = dead_letters(&db.pool, letter.number, 10).await.unwrap();
    assert_eq!(rest, []);

    broken.store(false, Ordering::Relaxed);
    let back = replay_dead_letters(&db.pool, DeadLetterFilter::All).await;
    assert_eq!(back.unwrap(), 1);
    assert_eq!(count_dead_letters(&db.pool).await.unwrap(), 0);
    assert_eq!(within(relay.drain()).await.unwrap().published, 1);
    assert_eq!(log.all().last().map(|taken| taken.id), Some(ids[1]));
}

/// Guards: a replay goes on as long as a batch of a thousand is full.
#[tokio::test]
async fn more_dead_letters_than_fit_into_a_batch_are_all_replayed() {
    let db = start().await;
    let log = Log::new();
    let publisher = To::new(&log, |_| Err(PublishError::permanent("not understood")));
    let events: Vec<_> = (0..1_500).map(|n| (None, n)).collect();
    emit(&db.pool, &events).await.unwrap();
    let relayed = within(relay(&db.pool, publisher).batch(1_000).drain());
    assert_eq!(relayed.await.unwrap().dead_lettered, 1_500);
    let back = replay_dead_letters(&db.pool, DeadLetterFilter::All).await;
    assert_eq!(back.unwrap(), 1_500);
    assert_eq!(count_dead_letters(&db.pool).await.unwrap(), 0);
}

/// Guards: a permanent verdict is no attempt among others, and holds back nothing.
#[tokio::test]
async fn what_can_never_be_published_is_put_aside_at_once() {
    let db = start().await;
    let log = Log::new();
    let publisher = To::new(&log, |message| match n_of(message) {
        1 => Err(PublishError::permanent("not understood")),
        _ => Ok(()),
    });
    emit(&db.pool, &[(Some("a"), 1), (Some("a"), 2)])
        .await
        .unwrap();
    let relayed = within(relay(&db.pool, publisher).drain()).await.unwrap();
    assert_eq!(
        (relayed.published, relayed.failed, relayed.dead_lettered),
        (1, 0, 1)
    );
    assert_eq!(log.of_key(Some("a")), [2]);
}

/// Guards: only those that were asked for are replayed, in the order in which they were emitted and
/// behind what waits.
#[tokio::test]
async fn dead_letters_are_replayed_by_topic_or_id_and_in_their_old_order() {
    let db = start().await;
    let log = Log::new();
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = broken.clone();
    let publisher = To::new(&log, move |_| {
        if is_broken.load(Ordering::Relaxed) {
            Err(PublishError::permanent("down"))
        } else {
            Ok(())
        }
    });
    let ids = emit(
        &db.pool,
        &[(Some("a"), 1), (None, 2), (Some("a"), 3), (None, 4)],
    )
    .await
    .unwrap();
    let relay = relay(&db.pool, publisher);
    assert_eq!(within(relay.drain()).await.unwrap().dead_lettered, 4);
    broken.store(false, Ordering::Relaxed);

    let none = replay_dead_letters(&db.pool, DeadLetterFilter::Events(&[])).await;
    assert_eq!(none.unwrap(), 0);
    let one = replay_dead_letters(&db.pool, DeadLetterFilter::Events(&ids[3..])).await;
    assert_eq!(one.unwrap(), 1);
    within(relay.drain()).await.unwrap();
    assert_eq!(log.of_key(None), [4]);

    // It waits already when they come back.
    emit(&db.pool, &[(Some("a"), 5)]).await.unwrap();
    let topic = replay_dead_letters(&db.pool, DeadLetterFilter::Topic("happenings")).await;
    assert_eq!(topic.unwrap(), 2);
    within(relay.drain()).await.unwrap();
    assert_eq!(log.of_key(Some("a")), [5, 1, 3]);
    assert_eq!(count_dead_letters(&db.pool).await.unwrap(), 1);
}
