//! Many writers, several relays, and crashes among them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use idem_runtime::PublishError;
use idem_tests::poll::drop_at_pending;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sqlx::{AssertSqlSafe, Row as _, raw_sql};
use tokio::task::JoinSet;

use super::{Pool, emit, relay, start, unpublished};
use crate::receivers::{Log, To};

const KEYS: [&str; 3] = ["a", "b", "c"];
const WRITERS: u32 = 4;
const ROUNDS: u32 = 15;

/// Guards: rows are numbered while the handler holds the lock of its aggregate, and published by
/// their number; and all of the lease. The events of a key arrive in the order in which the
/// transactions that locked it have committed.
#[tokio::test]
async fn writers_that_lock_what_they_change_are_published_in_the_order_of_their_commits() {
    let db = start().await;
    db.execute(
        "CREATE TABLE aggregates (id char(1) PRIMARY KEY, n integer NOT NULL); \
         INSERT INTO aggregates VALUES ('a', 0), ('b', 0), ('c', 0)",
    )
    .await;
    let writers = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let (pool, ended) = (db.another_pool(4).await, writers.clone());
        tasks.spawn(async move {
            for round in 0..ROUNDS {
                change(&pool, KEYS[(writer + round) as usize % KEYS.len()]).await;
            }
            ended.fetch_add(1, Ordering::Relaxed);
        });
    }

    let log = Log::new();
    for seed in 0..3 {
        let (pool, log, writers) = (db.another_pool(4).await, log.clone(), writers.clone());
        tasks.spawn(async move {
            let mut rng = StdRng::seed_from_u64(seed);
            let failures = std::sync::Mutex::new(StdRng::seed_from_u64(100 + seed));
            let publisher = To::new(&log, move |_| {
                if failures.lock().unwrap().random_bool(0.1) {
                    Err(PublishError::retryable("now and then"))
                } else {
                    Ok(())
                }
            });
            let relay = relay(&pool, publisher).batch(5).max_attempts(1_000);
            while writers.load(Ordering::Relaxed) < WRITERS as usize {
                drop_at_pending(rng.random_range(1..60), relay.drain()).await;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    relay(&db.pool, To::all(&log)).drain().await.unwrap();
    assert_eq!(unpublished(&db.pool).await, 0);
    let changes = WRITERS * ROUNDS / 3;
    for key in KEYS {
        let expected: Vec<u32> = (1..=changes).collect();
        assert_eq!(log.of_key(Some(key)), expected, "{key}");
    }
}

/// Counts an aggregate up and tells of it, as a handler does.
async fn change(pool: &Pool, key: &str) {
    let mut tx = pool.begin().await.unwrap();
    let update = format!("UPDATE aggregates SET n = n + 1 WHERE id = '{key}'");
    raw_sql(AssertSqlSafe(update))
        .execute(&mut *tx)
        .await
        .unwrap();
    let select = format!("SELECT n FROM aggregates WHERE id = '{key}'");
    let row = raw_sql(AssertSqlSafe(select))
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    let n: i32 = row.get(0);
    emit(&mut tx, &[(Some(key), n.unsigned_abs())])
        .await
        .unwrap();
    tx.commit().await.unwrap();
}
