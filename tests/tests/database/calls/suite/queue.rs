//! Many deliveries of one key: how long they wait, and what they cost the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use idem_runtime::{Error, idempotent};
use sqlx::{Database as _, Row as _, raw_sql};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::handlers::{apply, effect};
use super::{Conn, Pool, WAITS_FOR_KEYS, another_pool, empty, start};
use crate::model::{Order, Refusal};

type Database = <Conn as sqlx::Connection>::Database;

/// How long each execution takes before it fails: three of them do not fit into one wait.
const TAKES: Duration = Duration::from_millis(700);

/// When the executions began.
type Begun = Arc<std::sync::Mutex<Vec<Instant>>>;

#[idempotent(key = "order.id", scope = "contract.slow", in_flight = "wait 1s")]
async fn slow(tx: &mut Conn, order: &Order, begun: &Begun) -> Result<(), Refusal> {
    begun.lock().unwrap().push(Instant::now());
    effect(tx, &order.id).await?;
    tokio::time::sleep(TAKES).await;
    Err(Refusal::Busy)
}

/// Guards: those who want one key wait in one queue of the database, and not for one holder after
/// the other.
#[tokio::test]
async fn in_flight_bounds_the_whole_wait_also_behind_several_that_fail() {
    let db = start().await;
    // Each as a process has its own.
    let mut pools: Vec<Pool> = Vec::new();
    for _ in 0..6 {
        pools.push(another_pool(&db).await);
    }
    let begun = Begun::default();
    let started = Instant::now();
    let mut calls = JoinSet::new();
    for pool in pools {
        let begun = begun.clone();
        calls.spawn(async move {
            let result = slow(&pool, &Order::new("o"), &begun).await;
            (result, started.elapsed())
        });
    }
    // MariaDB counts its waits in whole seconds and rounds up.
    let slack = match Database::NAME {
        "MySQL" => Duration::from_millis(1_500),
        _ => Duration::from_millis(500),
    };
    let latest = Duration::from_secs(1) + slack;
    let mut executed = 0;
    for (result, after) in calls.join_all().await {
        match result {
            Err(Error::Handler { .. }) => executed += 1,
            Err(Error::InFlight) => assert!(after < latest, "InFlight after {after:?}"),
            // SQLite waits for whoever writes.
            Err(Error::Store(_)) if !WAITS_FOR_KEYS => {
                assert!(after < latest, "{after:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(executed < 6, "nobody waited in vain");
    for begun in begun.lock().unwrap().iter() {
        let after = begun.duration_since(started);
        assert!(after < latest, "began after {after:?}");
    }
    assert_eq!(db.effects().await, Vec::<String>::new());
}

#[idempotent(key = "order.id", scope = "contract.fails", in_flight = "wait 30s")]
async fn fails(tx: &mut Conn, order: &Order, ran: &AtomicU32) -> Result<(), Refusal> {
    ran.fetch_add(1, Ordering::Relaxed);
    effect(tx, &order.id).await?;
    tokio::task::yield_now().await;
    Err(Refusal::Busy)
}

/// How many transactions the one session of a pool has begun, or statements it has run where these
/// are what is counted.
async fn work(pool: &Pool) -> Option<i64> {
    let sql = match Database::NAME {
        // Only a transaction that writes takes one: what is asked is not counted.
        "PostgreSQL" => {
            "SELECT pg_stat_force_next_flush()::text; SELECT xact_commit + xact_rollback FROM pg_stat_database \
             WHERE datname = current_database()"
        }
        "MySQL" => {
            "SELECT CAST(variable_value AS SIGNED) FROM information_schema.session_status WHERE variable_name = 'QUERIES'"
        }
        _ => return None,
    };
    if Database::NAME == "PostgreSQL" {
        // A session reports its statistics at most once a second, unless it is asked to do so
        // before it is idle.
        for _ in 0..2 {
            raw_sql(sql).fetch_all(pool).await.unwrap();
        }
    }
    let rows = raw_sql(sql).fetch_all(pool).await.unwrap();
    Some(rows.last().unwrap().get(0))
}

/// Guards: a key's turn goes to one waiter at a time, and an end that is stored to all of them.
#[tokio::test]
async fn two_hundred_duplicates_in_one_process_cost_in_proportion() {
    let db = empty(1).await;
    idem_runtime::migrate(&db.pool).await.unwrap();
    db.execute("CREATE TABLE effects (id VARCHAR(64) NOT NULL)")
        .await;
    let before = work(&db.pool).await;
    let ran = Arc::new(AtomicU32::new(0));
    let mut calls = JoinSet::new();
    for _ in 0..200 {
        let (pool, ran) = (db.pool.clone(), ran.clone());
        calls.spawn(async move { fails(&pool, &Order::new("o"), &ran).await.is_err() });
    }
    assert!(calls.join_all().await.into_iter().all(|failed| failed));
    assert_eq!(ran.load(Ordering::Relaxed), 200);
    let failed = work(&db.pool).await;
    let mut calls = JoinSet::new();
    for _ in 0..200 {
        let pool = db.pool.clone();
        calls.spawn(async move { apply(&pool, &Order::new("o")).await.unwrap().is_executed() });
    }
    let executed = calls.join_all().await;
    assert_eq!(executed.into_iter().filter(|executed| *executed).count(), 1);
    let succeeded = work(&db.pool).await;
    let Some(((before, failed), succeeded)) = before.zip(failed).zip(succeeded) else {
        return;
    };
    // Transactions; statements on MariaDB, of which a claim takes several.
    let (of_failure, of_success) = match Database::NAME {
        "PostgreSQL" => (3 * 200, 2 * 200),
        _ => (20 * 200, 6 * 200),
    };
    println!("{} and {}", failed - before, succeeded - failed);
    assert!(failed - before <= of_failure, "{}", failed - before);
    assert!(succeeded - failed <= of_success, "{}", succeeded - failed);
    assert_eq!(db.effects().await, ["o"]);
}
