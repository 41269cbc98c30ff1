//! A duplicate while the first delivery is still running.

use std::sync::Arc;

use idem_runtime::{Error, Outcome};
use tokio::task::{JoinHandle, JoinSet};

use super::handlers::{meet, meet_at_once, meet_soon};
use super::{Bed, Pool};
use crate::model::{Meeting, Order, Receipt, Refusal, end, refused};

type End = Result<Outcome<Receipt>, String>;

/// Starts a call, and returns when its handler has its key and waits to be let on.
async fn hold(pool: &Pool, order: &Order, meeting: &Arc<Meeting>) -> JoinHandle<End> {
    let (pool, order, meets) = (pool.clone(), order.clone(), Arc::clone(meeting));
    let holder = tokio::spawn(async move { end(meet(&pool, &order, &meets).await) });
    meeting.has_arrived().await;
    holder
}

#[tokio::test]
async fn a_duplicate_fails_or_waits_as_its_handler_says() {
    let bed = Bed::start().await;
    let (order, meeting) = (Order::new("o"), Arc::new(Meeting::new()));
    let holder = hold(&bed.pool, &order, &meeting).await;
    assert_eq!(
        end(meet_at_once(&bed.pool, &order).await),
        Err("InFlight".into())
    );
    assert_eq!(
        end(meet_soon(&bed.pool, &order).await),
        Err("InFlight".into())
    );
    // Many more than the pool has connections.
    let mut waiting = JoinSet::new();
    for _ in 0..50 {
        let (pool, order, meeting) = (bed.pool.clone(), order.clone(), Arc::clone(&meeting));
        waiting.spawn(async move { end(meet(&pool, &order, &meeting).await) });
    }
    // Who waits holds no connection: others find one.
    assert_eq!(bed.effects().await, Vec::<String>::new());
    meeting.let_go_on();
    assert_eq!(
        holder.await.unwrap(),
        Ok(Outcome::Executed(order.receipt()))
    );
    for replayed in waiting.join_all().await {
        assert_eq!(replayed, Ok(Outcome::Replayed(order.receipt())));
    }
    assert_eq!(bed.effects().await, ["o"]);
}

#[tokio::test]
async fn a_duplicate_in_another_process_waits_in_the_database() {
    let bed = Bed::start().await;
    let another = bed.another_pool().await;
    let (order, meeting) = (Order::new("o"), Arc::new(Meeting::new()));
    let holder = hold(&bed.pool, &order, &meeting).await;
    for result in [
        meet_at_once(&another, &order).await,
        meet_soon(&another, &order).await,
    ] {
        if Bed::WAITS_FOR_KEYS {
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
    assert_eq!(bed.effects().await, ["o"]);
}

#[tokio::test]
async fn who_waited_for_a_delivery_that_failed_runs() {
    let bed = Bed::start().await;
    for pool in [&bed.pool, &bed.another_pool().await] {
        let (order, meeting) = (Order::new("o"), Arc::new(Meeting::new()));
        let refuses = Order::refused("o", Refusal::Busy);
        let holder = hold(&bed.pool, &refuses, &meeting).await;
        let next = {
            let (pool, order, meeting) = (pool.clone(), order.clone(), Arc::clone(&meeting));
            tokio::spawn(async move { end(meet(&pool, &order, &meeting).await) })
        };
        meeting.let_go_on();
        assert_eq!(holder.await.unwrap(), refused(Refusal::Busy));
        meeting.has_arrived().await;
        meeting.let_go_on();
        assert_eq!(next.await.unwrap(), Ok(Outcome::Executed(order.receipt())));
        assert_eq!(bed.effects().await, ["o"]);
        bed.execute("DELETE FROM effects").await;
        bed.execute("DELETE FROM idem_keys").await;
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
