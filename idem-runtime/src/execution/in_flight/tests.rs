use std::future::Future as _;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::task::JoinSet;

use super::*;

fn state() -> Arc<KeysInFlight> {
    Arc::default()
}

fn key() -> KeyInFlight {
    KeyInFlight {
        scope: "scope".into(),
        key: StoredKey::of("key"),
    }
}

fn later() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

async fn taken(state: &Arc<KeysInFlight>) -> KeyGuard {
    match take(state, key(), later()).await {
        WaitResult::Acquired(guard) => guard,
        other => panic!("{other:?}"),
    }
}

/// Lets every task that can go on do so.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Guards: the turn goes to one waiter. Waking all of them costs the square of their number.
#[tokio::test]
async fn a_call_that_fails_wakes_one_of_those_who_wait() {
    let state = state();
    let first = taken(&state).await;
    let mut waiting = JoinSet::new();
    for _ in 0..5 {
        let state = state.clone();
        waiting.spawn(async move { taken(&state).await });
    }
    settle().await;
    drop(first);
    for left in (0..5).rev() {
        let guard = waiting.join_next().await.unwrap().unwrap();
        settle().await;
        assert_eq!(waiting.len(), left);
        assert!(waiting.try_join_next().is_none());
        drop(guard);
    }
    assert!(state.lock().is_empty());
}

#[tokio::test]
async fn a_call_that_stores_an_end_wakes_all_who_wait_and_the_next_begins_anew() {
    let state = state();
    let first = taken(&state).await;
    let mut waiting = JoinSet::new();
    for _ in 0..5 {
        let state = state.clone();
        waiting
            .spawn(async move { matches!(take(&state, key(), later()).await, WaitResult::Stored) });
    }
    settle().await;
    first.stored();
    assert_eq!(waiting.join_all().await, [true; 5]);
    assert!(state.lock().is_empty());
    drop(taken(&state).await);
}

#[tokio::test]
async fn who_waits_no_longer_leaves_nothing_behind() {
    let state = state();
    let first = taken(&state).await;
    let turn = take(&state, key(), Instant::now()).await;
    assert!(matches!(turn, WaitResult::TimedOut), "{turn:?}");
    let mut dropped = Box::pin(take(&state, key(), later()));
    let mut context = Context::from_waker(Waker::noop());
    assert!(dropped.as_mut().poll(&mut context).is_pending());
    drop(dropped);
    drop(first);
    assert!(state.lock().is_empty());
}
