//! How a relay finds what is in the outbox.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{BEGIN, Pool, emit, relay, start, unpublished};
use crate::receivers::{Log, To, within};

/// Guards: a commit wakes the relays of its process. They would look again in an hour.
#[tokio::test]
async fn a_commit_wakes_the_relay_of_its_process() {
    let db = start().await;
    let log = Log::new();
    let shutdown = CancellationToken::new();
    let relay = relay(&db.pool, To::all(&log)).poll_interval(Duration::from_hours(1));
    let running = tokio::spawn(relay.run(shutdown.clone().cancelled_owned()));
    for n in 0..20 {
        emit(&db.pool, &[(None, n)]).await.unwrap();
        log.until(|taken| taken.len() > n as usize).await;
    }
    shutdown.cancel();
    within(running).await.unwrap().unwrap();
}

/// Guards: nothing but `wake` tells of the commit of a caller's own transaction.
#[tokio::test]
async fn a_joined_call_is_found_after_a_wake() {
    let db = start().await;
    let log = Log::new();
    let shutdown = CancellationToken::new();
    let relay = relay(&db.pool, To::all(&log)).poll_interval(Duration::from_hours(1));
    let running = tokio::spawn(relay.run(shutdown.clone().cancelled_owned()));
    // It has looked once, and sleeps.
    emit(&db.pool, &[(None, 0)]).await.unwrap();
    log.until(|taken| taken.len() == 1).await;
    let mut tx = db.pool.begin_with(BEGIN).await.unwrap();
    emit(&mut tx, &[(None, 1)]).await.unwrap();
    tx.commit().await.unwrap();
    idem_runtime::wake(&db.pool).await.unwrap();
    log.until(|taken| taken.len() == 2).await;
    shutdown.cancel();
    within(running).await.unwrap().unwrap();
}

/// Guards: the full look. Rows that a reset sequence numbers anew are below the cursor.
#[tokio::test]
async fn a_sequence_that_was_reset_loses_nothing() {
    let db = start().await;
    let log = Log::new();
    let shutdown = CancellationToken::new();
    let running = relay(&db.pool, To::all(&log)).run(shutdown.clone().cancelled_owned());
    let running = tokio::spawn(running);
    let events: Vec<_> = (0..10).map(|n| (Some("a"), n)).collect();
    emit(&db.pool, &events).await.unwrap();
    let settled = async |pool: &Pool| while unpublished(pool).await > 0 {};
    within(settled(&db.pool)).await;
    db.execute(super::RESET_SEQUENCE).await;
    for n in 10..15 {
        emit(&db.pool, &[(Some("a"), n)]).await.unwrap();
    }
    within(settled(&db.pool)).await;
    // Its order is right again once it was found.
    emit(&db.pool, &[(Some("a"), 15), (Some("a"), 16)])
        .await
        .unwrap();
    within(settled(&db.pool)).await;
    let mut taken = log.of_key(Some("a"));
    assert_eq!(taken.split_off(15), [15, 16]);
    assert_eq!(taken, (0..15).collect::<Vec<_>>());
    shutdown.cancel();
    within(running).await.unwrap().unwrap();
}

/// Guards: bytes of headers and names count, too.
#[tokio::test]
async fn large_headers_are_bounded_in_memory() {
    let db = start().await;
    let log = Log::new();
    for n in 0..8 {
        emit(&db.pool, &[(None, n)]).await.unwrap();
    }
    db.execute(super::LARGE_HEADERS).await;
    let most = std::sync::Arc::new(std::sync::Mutex::new(0));
    let publisher = crate::receivers::Measured {
        log: log.clone(),
        most: most.clone(),
    };
    let relay = relay(&db.pool, publisher).batch_bytes(250_000);
    let relayed = within(relay.drain()).await.unwrap();
    assert_eq!(relayed.published, 8);
    assert_eq!(*most.lock().unwrap(), 3, "messages of 100 kB in one batch");
}
