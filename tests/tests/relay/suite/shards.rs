//! Several relays at once.

use std::sync::Arc;
use std::time::Duration;

use idem_runtime::{PublishError, RelayError};
use idem_tests::poll::drop_at_pending;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{Db, LEASE_AFTER_A_CRASH, emit, relay, start, unpublished};
use crate::receivers::{Gated, Log, Silent, To, within};

/// So often a relay that stands by is polled to see that it does nothing else.
const MANY: usize = 60;

/// Guards: a relay has its shards alone, and one that is dropped frees them.
#[tokio::test]
async fn one_relay_publishes_and_another_takes_over_when_it_is_gone() {
    let db = start().await;
    let (first_log, log) = (Log::new(), Log::new());
    emit(&db.pool, &[(Some("a"), 1), (None, 2)]).await.unwrap();
    let first = tokio::spawn(relay(&db.pool, Silent(first_log.clone())).drain());
    first_log.until(|taken| taken.len() == 2).await;
    let second = relay(&db.pool, To::all(&log));
    assert!(drop_at_pending(MANY, second.drain()).await.is_none());
    assert_eq!(log.all(), []);
    first.abort();
    within(second.drain()).await.unwrap();
    assert_eq!(log.all().len(), 2);
}

/// Guards: only an outage of a database that was reached once is waited out.
#[tokio::test]
async fn a_relay_that_never_reached_its_database_ends_with_the_error() {
    let db = start().await;
    db.pool.close().await;
    let relay = relay(&db.pool, To::all(&Log::new()));
    let ended = within(relay.run(std::future::pending())).await;
    assert!(matches!(ended, Err(RelayError::Store(_))), "{ended:?}");
}

/// Guards: a job asks what is left also while other relays have all shards.
#[tokio::test]
async fn a_drain_ends_when_another_relay_has_published_all() {
    let db = start().await;
    let log = Log::new();
    let shutdown = CancellationToken::new();
    let first = relay(&db.pool, To::all(&log)).run(shutdown.clone().cancelled_owned());
    let first = tokio::spawn(first);
    emit(&db.pool, &[(Some("a"), 1), (None, 2)]).await.unwrap();
    let drained = within(relay(&db.pool, To::all(&log)).drain())
        .await
        .unwrap();
    assert_eq!((unpublished(&db.pool).await, log.all().len()), (0, 2));
    assert!(!first.is_finished());
    shutdown.cancel();
    let first = within(first).await.unwrap().unwrap();
    assert_eq!(first.published + drained.published, 2);
}

/// Guards: the session in the table of relays, and where there is none, the end of the lease. The
/// first relay goes down with its whole runtime, as in a crash: nothing is freed.
#[tokio::test]
async fn a_relay_that_crashed_is_replaced() {
    let db = Arc::new(start().await);
    let log = Log::new();
    emit(&db.pool, &[(Some("a"), 1), (None, 2)]).await.unwrap();
    let crashing = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (its_db, its_log) = (db.clone(), log.clone());
    crashing.spawn(async move {
        let pool = its_db.another_pool(4).await;
        let relay = relay(&pool, Silent(its_log)).lease(LEASE_AFTER_A_CRASH);
        relay.run(std::future::pending()).await
    });
    log.until(|taken| taken.len() == 2).await;
    crashing.shutdown_background();
    assert_eq!(db.number("SELECT count(*) FROM idem_relays").await, 1);
    let relayed = within(relay(&db.pool, To::all(&log)).drain())
        .await
        .unwrap();
    assert_eq!(relayed.published, 2);
    assert_eq!(unpublished(&db.pool).await, 0);
}

/// Guards: the lease is renewed during the publisher's work.
#[tokio::test]
async fn the_lease_of_a_slow_publisher_is_renewed() {
    let db = start().await;
    let (slow_log, log) = (Log::new(), Log::new());
    emit(&db.pool, &[(Some("a"), 1), (None, 2)]).await.unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let publisher = Gated {
        log: slow_log.clone(),
        gate: gate.clone(),
        verdict: Ok(()),
    };
    let slow = relay(&db.pool, publisher).lease(Duration::from_secs(2));
    let slow = tokio::spawn(slow.drain());
    slow_log.until(|taken| taken.len() == 2).await;
    // Each renewal moves the end, so after four of them more than one whole lease has passed.
    let renewals = async {
        let mut ends = std::collections::HashSet::new();
        while ends.len() < 5 {
            assert!(!slow.is_finished(), "the relay has ended");
            ends.insert(end_of_lease(&db).await);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), renewals)
        .await
        .expect("the lease is not renewed");
    let second = relay(&db.pool, To::all(&log));
    assert!(drop_at_pending(MANY, second.drain()).await.is_none());
    assert_eq!(log.all(), []);
    gate.add_permits(10);
    assert_eq!(within(slow).await.unwrap().unwrap().published, 2);
}

async fn end_of_lease(db: &Db) -> String {
    use sqlx::Row as _;
    let row = sqlx::raw_sql("SELECT CAST(until AS char(40)) FROM idem_relays WHERE shards <> 0")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    row.get(0)
}

/// Guards: a failed attempt is bound to the owner of its shard, and a confirmation to nobody. The
/// shards are taken away while the publisher works; what it says after that is written if it is a
/// confirmation.
#[tokio::test]
async fn a_relay_that_lost_its_shards_settles_what_is_confirmed_and_nothing_else() {
    for verdict in [Ok(()), Err(PublishError::retryable("no"))] {
        let db = start().await;
        let log = Log::new();
        let gate = Arc::new(Semaphore::new(0));
        let publisher = Gated {
            log: log.clone(),
            gate: gate.clone(),
            verdict: verdict.clone(),
        };
        emit(&db.pool, &[(Some("a"), 1), (None, 2)]).await.unwrap();
        let stale = tokio::spawn(relay(&db.pool, publisher).drain());
        log.until(|taken| taken.len() == 2).await;
        db.execute("UPDATE idem_relays SET shards = 0").await;
        gate.add_permits(10);
        if verdict.is_ok() {
            assert_eq!(within(stale).await.unwrap().unwrap().published, 2);
            assert_eq!(log.all().len(), 2);
        } else {
            // It takes the shards again, and publishes again, after it has tried to settle.
            log.until(|taken| taken.len() >= 4).await;
            assert_eq!(unpublished(&db.pool).await, 2);
            stale.abort();
        }
    }
}

/// Guards: each relay takes its share, and what it gives up the other one publishes.
#[tokio::test]
async fn two_relays_share_the_keys() {
    let db = start().await;
    let (first_log, second_log) = (Log::new(), Log::new());
    let shutdown = CancellationToken::new();
    let [first, second] = [&first_log, &second_log].map(|log| {
        let relay = relay(&db.pool, To::all(log)).lease(Duration::from_secs(1));
        tokio::spawn(relay.run(shutdown.clone().cancelled_owned()))
    });
    let shared = async {
        while db
            .number("SELECT count(*) FROM idem_relays WHERE shards NOT IN (0, -1)")
            .await
            < 2
        {}
    };
    within(shared).await;
    let keys: Vec<_> = (0..100).map(|n| format!("key {n}")).collect();
    let events: Vec<_> = (0..).zip(&keys).map(|(n, key)| (Some(&**key), n)).collect();
    emit(&db.pool, &events).await.unwrap();
    let all = async { while unpublished(&db.pool).await > 0 {} };
    within(all).await;
    shutdown.cancel();
    let first = within(first).await.unwrap().unwrap().published;
    let second = within(second).await.unwrap().unwrap().published;
    assert_eq!(first + second, 100);
    assert!(first > 10 && second > 10, "{first} and {second}");
    assert_eq!(first_log.all().len() + second_log.all().len(), 100);
}

/// Guards: an event has one target. Topics that are apart have targets that live side by side.
#[tokio::test]
async fn targets_that_overlap_are_refused_and_others_share_an_outbox() {
    let db = start().await;
    let (log, loose_log) = (Log::new(), Log::new());
    emit(&db.pool, &[(Some("a"), 1), (None, 2)]).await.unwrap();
    let shutdown = CancellationToken::new();
    let loose = relay(&db.pool, To::all(&loose_log))
        .target("loose")
        .topics(["loose.happenings"]);
    let running = tokio::spawn(loose.run(shutdown.clone().cancelled_owned()));
    loose_log.until(|taken| taken.len() == 1).await;
    let all_topics = relay(&db.pool, To::all(&log));
    let error = within(all_topics.run(std::future::pending())).await;
    let RelayError::OverlappingTargets {
        target,
        other,
        topic,
    } = error.unwrap_err()
    else {
        panic!("another error");
    };
    assert_eq!(
        [&*target, &*other, &*topic],
        ["default", "loose", "loose.happenings"]
    );
    let backlog = idem_runtime::backlog(&db.pool).await.unwrap();
    let waiting = &backlog.topics[0];
    assert_eq!((&*waiting.topic, waiting.has_relay), ("happenings", false));
    let rest = relay(&db.pool, To::all(&log)).topics(["happenings"]);
    assert_eq!(within(rest.drain()).await.unwrap().published, 1);
    assert_eq!(log.of_key(Some("a")), [1]);
    shutdown.cancel();
    within(running).await.unwrap().unwrap();
}

/// Guards: the shards are freed at the end of a run.
#[tokio::test]
async fn a_relay_that_ends_leaves_no_row() {
    let db = start().await;
    emit(&db.pool, &[(None, 1)]).await.unwrap();
    relay(&db.pool, To::all(&Log::new())).drain().await.unwrap();
    assert_eq!(db.number("SELECT count(*) FROM idem_relays").await, 0);
}
