//! Several relays at once.

use std::sync::Arc;
use std::time::Duration;

use idem_runtime::{PublishError, RelayError};
use idem_tests::poll::drop_at_pending;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{Db, THIEF, emit, relay, start, unpublished};
use crate::receivers::{Gated, Log, Silent, To, within};

/// So often a relay that stands by is polled to see that it does nothing else.
const MANY: usize = 60;

/// Guards: who publishes holds the lease, and one that is dropped frees it.
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
    second.drain().await.unwrap();
    assert_eq!(log.all(), first_log.all());
}

/// Guards: only an outage of a database that was reached once is waited out.
#[tokio::test]
async fn a_relay_that_never_reached_its_database_ends_with_the_error() {
    let db = start().await;
    db.pool.close().await;
    let relay = relay(&db.pool, To::all(&Log::new()));
    let ended = within(relay.run(CancellationToken::new())).await;
    assert!(matches!(ended, Err(RelayError::Store(_))), "{ended:?}");
}

/// Guards: a job asks what is left also while another relay has the lease.
#[tokio::test]
async fn a_drain_ends_when_another_relay_has_published_all() {
    let db = start().await;
    let (first_log, log) = (Log::new(), Log::new());
    let shutdown = CancellationToken::new();
    let first = tokio::spawn(relay(&db.pool, To::all(&first_log)).run(shutdown.clone()));
    emit(&db.pool, &[(Some("a"), 1), (None, 2)]).await.unwrap();
    first_log.until(|taken| taken.len() == 2).await;
    let relayed = within(relay(&db.pool, To::all(&log)).drain()).await;
    assert_eq!(relayed.unwrap().published, 0);
    assert_eq!((unpublished(&db.pool).await, log.all()), (0, vec![]));
    assert!(!first.is_finished());
    shutdown.cancel();
    assert_eq!(within(first).await.unwrap().unwrap().published, 2);
}

/// Guards: a lease has an end, by the database's clock. The first relay goes down with its whole
/// runtime, as in a crash: nothing is freed.
#[tokio::test]
async fn the_lease_of_a_relay_that_crashed_ends() {
    let db = start().await;
    let log = Log::new();
    emit(&db.pool, &[(Some("a"), 1), (None, 2)]).await.unwrap();
    let crashing = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let lease = Duration::from_millis(300);
    let db = Arc::new(db);
    let (its_db, its_log) = (db.clone(), log.clone());
    crashing.spawn(async move {
        let pool = its_db.another_pool(4).await;
        let relay = relay(&pool, Silent(its_log)).lease(lease);
        relay.run(CancellationToken::new()).await
    });
    log.until(|taken| taken.len() == 2).await;
    crashing.shutdown_background();
    assert_eq!(db.number("SELECT count(*) FROM idem_relay").await, 1);
    let relayed = relay(&db.pool, To::all(&log)).drain().await.unwrap();
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
            ends.insert(end_of_lease(&db).await);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), renewals)
        .await
        .expect("the lease is not renewed");
    let second = relay(&db.pool, To::all(&log));
    assert!(drop_at_pending(MANY, second.drain()).await.is_none());
    assert_eq!(log.all(), []);
    gate.add_permits(1);
    assert_eq!(slow.await.unwrap().unwrap().published, 2);
}

async fn end_of_lease(db: &Db) -> String {
    use sqlx::Row as _;
    let row = sqlx::raw_sql("SELECT CAST(expires_at AS char(40)) FROM idem_relay")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    row.get(0)
}

/// Guards: every mark is bound to the owner of the lease. Another relay takes over while the first
/// one's publisher works; what the first one learns after that is not written.
#[tokio::test]
async fn a_relay_that_lost_its_lease_marks_nothing() {
    for verdict in [Ok(()), Err(PublishError::retryable("no"))] {
        let db = start().await;
        let log = Log::new();
        let gate = Arc::new(Semaphore::new(0));
        let publisher = Gated {
            log: log.clone(),
            gate: gate.clone(),
            verdict,
        };
        emit(&db.pool, &[(Some("a"), 1), (None, 2)]).await.unwrap();
        let stale = tokio::spawn(relay(&db.pool, publisher).drain());
        log.until(|taken| taken.len() == 2).await;
        let thief = format!("UPDATE idem_relay SET owner = {THIEF}");
        db.execute(&thief).await;
        gate.add_permits(1);
        // It publishes again only when it has the lease again, and so after it has tried to mark.
        db.execute("DELETE FROM idem_relay").await;
        log.until(|taken| taken.len() == 4).await;
        assert_eq!(unpublished(&db.pool).await, 2);
        let touched = "SELECT count(*) FROM idem_outbox WHERE attempts > 0 OR retry_at IS NOT NULL";
        assert_eq!(db.number(touched).await, 0);
        stale.abort();
    }
}

/// Guards: a relay that learns of the loss of its lease drops what is in hand. It does not take a
/// lease that is free again for its own: another relay had it in between.
#[tokio::test]
async fn a_relay_that_lost_its_lease_stops_to_publish() {
    let db = start().await;
    let (stale_log, log) = (Log::new(), Log::new());
    emit(&db.pool, &[(Some("a"), 1), (None, 2)]).await.unwrap();
    let stale = relay(&db.pool, Silent(stale_log.clone())).lease(Duration::from_secs(1));
    let stale = tokio::spawn(stale.drain());
    stale_log.until(|taken| taken.len() == 2).await;
    db.execute("DELETE FROM idem_relay").await;
    relay(&db.pool, To::all(&log)).drain().await.unwrap();
    // Its publisher never returns: only the loss ends it. Then nothing is left for it to do.
    let ended = within(stale).await.unwrap().unwrap();
    assert_eq!(ended.published, 0);
    assert_eq!(log.all().len(), 2);
}

/// Guards: the lease is freed at the end of a run.
#[tokio::test]
async fn a_relay_that_ends_leaves_no_lease() {
    let db = start().await;
    emit(&db.pool, &[(None, 1)]).await.unwrap();
    relay(&db.pool, To::all(&Log::new())).drain().await.unwrap();
    assert_eq!(db.number("SELECT count(*) FROM idem_relay").await, 0);
}
