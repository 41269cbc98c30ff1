//! How many sessions a pool's calls take from the server when they are given up.

use std::time::Duration;

use idem_runtime::{Error, Outcome, idempotent};
use sqlx::{Database as _, Row as _, raw_sql};
use tokio::time::{Instant, timeout};

use super::handlers::{apply, begin, effect};
use super::{Conn, Pool, another_pool, start};
use crate::model::{Order, Refusal};

type Database = <Conn as sqlx::Connection>::Database;

const LOCK: &str = "UPDATE counters SET n = n + 1 WHERE id = 1";

/// Long enough for a call to wait for its lock on the server.
const GIVEN_UP_AFTER: Duration = Duration::from_millis(60);

#[idempotent(key = "order.id", scope = "contract.locks")]
async fn locks(tx: &mut Conn, order: &Order) -> Result<i64, Refusal> {
    raw_sql(LOCK).execute(&mut *tx).await?;
    effect(tx, &order.id).await?;
    Ok(7)
}

/// The sessions of this database. SQLite has none.
async fn sessions(conn: &mut Conn) -> Option<i64> {
    let count = match Database::NAME {
        // A transaction sees one state of the view.
        "PostgreSQL" => {
            "SELECT pg_stat_clear_snapshot()::text, count(*) FROM pg_stat_activity \
             WHERE datname = current_database() AND backend_type = 'client backend'"
        }
        "MySQL" => {
            "SELECT '', CAST(count(*) AS SIGNED) FROM information_schema.processlist WHERE db = DATABASE()"
        }
        _ => return None,
    };
    let row = raw_sql(count).fetch_one(conn).await.unwrap();
    Some(row.get(1))
}

/// Gives up calls one after the other, and looks how many sessions they hold.
async fn give_up(watched: &Pool, monitor: &mut Conn, others: Option<i64>, joined: bool) {
    for number in 0..8 {
        let order = Order::new(&format!("given up {number}"));
        let call = async {
            if joined {
                let mut tx = begin(watched).await;
                locks(&mut tx, &order).await.map(drop)
            } else {
                locks(watched, &order).await.map(drop)
            }
        };
        let given_up = timeout(GIVEN_UP_AFTER, call).await;
        // SQLite's busy timeout may be over before.
        assert!(given_up.is_err() || others.is_none(), "{given_up:?}");
        let now = sessions(monitor).await;
        let of_pool = now.zip(others).map_or(0, |(now, others)| now - others);
        assert!(
            of_pool <= 2,
            "{of_pool} sessions after {number} calls (joined: {joined})"
        );
    }
}

/// Guards: a connection whose call was dropped keeps its place in the pool until the server is done
/// with it.
#[tokio::test]
async fn calls_that_are_given_up_hold_no_more_sessions_than_their_pool_may_have() {
    let db = start().await;
    db.execute("CREATE TABLE counters (id INT PRIMARY KEY, n INT NOT NULL)")
        .await;
    db.execute("INSERT INTO counters VALUES (1, 0)").await;
    let mut monitor = db.pool.acquire().await.unwrap();
    let mut holder = begin(&db.pool).await;
    let all = sessions(&mut monitor).await;
    let watched = another_pool(&db).await;
    // What the new pool connected at once is its own.
    let others = all.map(|all| all.max(2));
    raw_sql(LOCK).execute(&mut *holder).await.unwrap();
    for joined in [false, true] {
        give_up(&watched, &mut monitor, others, joined).await;
    }
    holder.rollback().await.unwrap();
    recovers(&watched, "after a row lock").await;

    // A claim that waits for its key.
    let order = Order::new("held");
    let mut holder = begin(&db.pool).await;
    assert!(apply(&mut holder, &order).await.unwrap().is_executed());
    for number in 0..6 {
        let given_up = timeout(GIVEN_UP_AFTER, apply(&watched, &order)).await;
        assert!(given_up.is_err() || others.is_none(), "{given_up:?}");
        let now = sessions(&mut monitor).await;
        let of_pool = now.zip(others).map_or(0, |(now, others)| now - others);
        assert!(of_pool <= 2, "{of_pool} sessions after {number} claims");
    }
    holder.rollback().await.unwrap();
    let outcome = apply(&watched, &order).await.unwrap();
    assert_eq!(outcome, Outcome::Executed(order.receipt()));
    recovers(&watched, "after a claim").await;
}

/// Both connections of the pool serve again.
async fn recovers(watched: &Pool, when: &str) {
    let started = Instant::now();
    let both = (
        timeout(Duration::from_secs(10), watched.acquire()).await,
        timeout(Duration::from_secs(10), watched.acquire()).await,
    );
    assert!(started.elapsed() < Duration::from_secs(8), "{when}");
    drop(both);
    let order = Order::new(when);
    assert_eq!(locks(watched, &order).await.unwrap(), Outcome::Executed(7));
    assert_eq!(locks(watched, &order).await.unwrap(), Outcome::Replayed(7));
}

/// Guards: the wait for the server is a task only where there is a runtime to run it. sqlx itself
/// panics there.
#[test]
fn a_call_dropped_outside_of_a_runtime_does_no_more_than_sqlx_does() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let db = runtime.block_on(start());
    let panics = |drops: &mut dyn FnMut()| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(drops)).is_err()
    };
    let mut conn = Some(runtime.block_on(db.pool.acquire()).unwrap());
    conn.as_mut().unwrap().close_on_drop();
    let sqlx_panics = panics(&mut || drop(conn.take()));
    let order = Order::new("o");
    let mut call = Some(Box::pin(apply(&db.pool, &order)));
    runtime.block_on(async {
        // Polled once, and no more: it must not get as far as its COMMIT.
        tokio::select! {
            biased;
            ended = call.as_mut().unwrap() => panic!("{ended:?}"),
            () = std::future::ready(()) => {}
        }
    });
    let ours_panics = panics(&mut || drop(call.take()));
    assert!(sqlx_panics || !ours_panics);
    let outcome: Result<_, Error<Refusal>> = runtime.block_on(apply(&db.pool, &order));
    assert!(outcome.unwrap().is_executed());
}
