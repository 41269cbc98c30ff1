//! A duplicate while the first delivery is still running.

use std::sync::Arc;

use idem_runtime::{Error, Outcome};
use tokio::task::{JoinHandle, JoinSet};

use super::handlers::{meet, meet_at_once, meet_soon};
use super::{Pool, WAITS_FOR_KEYS, another_pool, start};
use crate::model::{Meeting, Order, Receipt, Refusal, end, refused};

type End = Result<Outcome<Receipt>, String>;

/// Starts a call, and returns when its handler has its key and waits to be let on.
async fn hold(pool: &Pool, order: &Order, meeting: &Arc<Meeting>) -> JoinHandle<End> {
    let (pool, order, meets) = (pool.clone(), order.clone(), Arc::clone(meeting));
    let holder = tokio::spawn(async move { end(meet(&pool, &order, &meets).await) });
    meeting.has_arrived().await;
    holder
}

/// Guards: duplicates wait in the process, before they take a connection. On a pool of four, two
/// hundred of them neither time out nor keep others from the pool.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_duplicate_fails_or_waits_as_its_handler_says() {
    let db = start().await;
    let (order, meeting) = (Order::new("o"), Arc::new(Meeting::new()));
    let holder = hold(&db.pool, &order, &meeting).await;
    assert_eq!(
        end(meet_at_once(&db.pool, &order).await),
        Err("InFlight".into())
    );
    assert_eq!(
        end(meet_soon(&db.pool, &order).await),
        Err("InFlight".into())
    );
    // Many more than the pool has connections.
    let mut waiting = JoinSet::new();
    for _ in 0..200 {
        let (pool, order, meeting) = (db.pool.clone(), order.clone(), Arc::clone(&meeting));
        waiting.spawn(async move { end(meet(&pool, &order, &meeting).await) });
    }
    // Who waits holds no connection: others find one.
    assert_eq!(db.effects().await, Vec::<String>::new());
    meeting.let_go_on();
    assert_eq!(
        holder.await.unwrap(),
        Ok(Outcome::Executed(order.receipt()))
    );
    for replayed in waiting.join_all().await {
        assert_eq!(replayed, Ok(Outcome::Replayed(order.receipt())));
    }
    assert_eq!(db.effects().await, ["o"]);
}

#[tokio::test]
async fn a_duplicate_in_another_process_waits_in_the_database() {
    let db = start().await;
    let another = another_pool(&db).await;
    let (order, meeting) = (Order::new("o"), Arc::new(Meeting::new()));
    let holder = hold(&db.pool, &order, &meeting).await;
    for result in [
        meet_at_once(&another, &order).await,
        meet_soon(&another, &order).await,
    ] {
        if WAITS_FOR_KEYS {
            assert_eq!(end(result), Err("InFlight".into()));
        } else {
            assert_eq!(database_code(result), "5");
        }
    }
    let waiting = {
        let order = order.clone();
        tokio::spawn(async move { end(meet(&another, &order, &Meeting::new()).await) })
    };
    meeting.let_go_on();
    assert_eq!(
        holder.await.unwrap(),
        Ok(Outcome::Executed(order.receipt()))
    );
    assert_eq!(
        waiting.await.unwrap(),
        Ok(Outcome::Replayed(order.receipt()))
    );
    assert_eq!(db.effects().await, ["o"]);
}

#[tokio::test]
async fn who_waited_for_a_delivery_that_failed_runs() {
    let db = start().await;
    for pool in [&db.pool, &another_pool(&db).await] {
        let (order, meeting) = (Order::new("o"), Arc::new(Meeting::new()));
        let refuses = Order::refused("o", Refusal::Busy);
        let holder = hold(&db.pool, &refuses, &meeting).await;
        let next = {
            let (pool, order, meeting) = (pool.clone(), order.clone(), Arc::clone(&meeting));
            tokio::spawn(async move { end(meet(&pool, &order, &meeting).await) })
        };
        meeting.let_go_on();
        assert_eq!(holder.await.unwrap(), refused(Refusal::Busy));
        meeting.has_arrived().await;
        meeting.let_go_on();
        assert_eq!(next.await.unwrap(), Ok(Outcome::Executed(order.receipt())));
        assert_eq!(db.effects().await, ["o"]);
        db.execute("DELETE FROM effects").await;
        db.execute("DELETE FROM idem_keys").await;
    }
}

/// The code of the database's own error.
pub(crate) fn database_code<T: std::fmt::Debug, E: std::fmt::Debug>(
    result: Result<T, Error<E>>,
) -> String {
    match result {
        Err(Error::Store(sqlx::Error::Database(error))) => {
            error.code().unwrap_or_default().into_owned()
        }
        other => panic!("not an error of the database: {other:?}"),
    }
}
