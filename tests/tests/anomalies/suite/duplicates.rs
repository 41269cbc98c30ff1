//! What a duplicate gets that comes while the first delivery runs, and after it.

use std::pin::pin;
use std::sync::Arc;

use futures_util::poll;
use tokio::task::JoinSet;

use super::case_db::CaseDb;
use super::first::{First, end_of};
use super::handlers::{Which, applied, deliver};
use super::{Axis, BUSY, Pool};
use crate::fate::Fate;
use crate::model::{Order, RESULT, State};
use crate::stage::Stage;

async fn first(db: &CaseDb, fate: Fate) -> First {
    First::start(db, fate, Which::Apply, Order::held("o", [])).await
}

/// A call that runs concurrently with the test.
fn delivered(which: Which, pool: &Pool, order: Order) -> tokio::task::JoinHandle<String> {
    let pool = pool.clone();
    tokio::spawn(async move { deliver(which, &pool, &order, &Stage::new()).await })
}

const fn next(fate: Fate) -> &'static str {
    match fate {
        Fate::Commits => "Replayed(7)",
        _ => "Executed(7)",
    }
}

/// Guards: claim, effect, result and event are one transaction, and the event's ID follows from the
/// key.
pub(crate) async fn a_later_one(axis: Axis, fate: Fate) {
    let db = CaseDb::start(axis).await;
    let mut first = first(&db, fate).await;
    db.assert_state(&State::nothing()).await;
    assert_eq!(first.ends(&db, fate).await, end_of(fate, "Executed(7)"));
    db.assert_whole_if(fate.commits(), &[&first.pool]).await;
}

/// Guards: the call begins and ends the transaction of a connection that it is given just as one of
/// a pool's.
pub(crate) async fn a_later_one_of_a_connection(axis: Axis, fate: Fate) {
    let db = CaseDb::start(axis).await;
    let order = Order::held("o", []);
    let mut first = First::start(&db, fate, Which::ApplyOnConnection, order).await;
    db.assert_state(&State::nothing()).await;
    assert_eq!(first.ends(&db, fate).await, end_of(fate, "Executed(7)"));
    db.assert_whole_if(fate.commits(), &[&first.pool]).await;
}

/// Guards: a duplicate in the process waits for the first one's turn before it acquires a
/// connection.
pub(crate) async fn in_the_process(axis: Axis, fate: Fate) {
    let db = CaseDb::start(axis).await;
    let held = Order::held("o", []);
    let mut first = First::start_among(2, &db, fate, Which::Apply, held).await;
    let (order, stage) = (Order::plain("o"), Stage::new());
    let pool = first.pool.clone();
    let mut duplicate = pin!(deliver(Which::Apply, &pool, &order, &stage));
    assert!(poll!(&mut duplicate).is_pending());
    let held = pool.size() as usize - pool.num_idle();
    assert_eq!(held, 1, "connections in use");
    assert_eq!(first.ends(&db, fate).await, end_of(fate, "Executed(7)"));
    assert_eq!(duplicate.await, next(fate));
    db.assert_then(
        &[&first.pool],
        State::whole(),
        "Replayed(7)",
        State::whole(),
    )
    .await;
}

/// Guards: the claim waits for a row of its key that is not committed yet, and asks again if it is
/// gone then.
pub(crate) async fn elsewhere(axis: Axis, fate: Fate) {
    let db = CaseDb::start(axis).await;
    let mut first = first(&db, fate).await;
    let duplicate = delivered(Which::Apply, &db.pool, Order::plain("o"));
    db.until_waiting(&db.pool, 1).await;
    assert_eq!(first.ends(&db, fate).await, end_of(fate, "Executed(7)"));
    assert_eq!(duplicate.await.unwrap(), next(fate));
    db.assert_then(
        &[&first.pool, &db.pool],
        State::whole(),
        "Replayed(7)",
        State::whole(),
    )
    .await;
}

/// Guards: `in_flight = "fail"` does not wait for a turn, and bounds the wait in the database by
/// nothing.
pub(crate) async fn told_to_fail(axis: Axis, fate: Fate) {
    let db = CaseDb::start(axis).await;
    let mut first = first(&db, fate).await;
    let impatient = super::connect_impatient(&db).await;
    let order = Order::plain("o");
    if !(fate == Fate::IsKilled && super::KILLS_PROCESSES) {
        let end = deliver(Which::Concurrent, &first.pool, &order, &Stage::new()).await;
        assert_eq!(end, "InFlight");
    }
    let end = deliver(Which::Concurrent, &impatient, &order, &Stage::new()).await;
    assert_eq!(end, BUSY);
    db.assert_state(&State::nothing()).await;
    assert_eq!(first.ends(&db, fate).await, end_of(fate, "Executed(7)"));
    db.assert_state(&State::whole_if(fate.commits())).await;
    super::assert_no_open_transaction(&db).await;
    let end = deliver(Which::Concurrent, &db.pool, &order, &Stage::new()).await;
    assert_eq!(end, next(fate));
    db.assert_then(
        &[&first.pool, &db.pool],
        State::whole(),
        "Replayed(7)",
        State::whole(),
    )
    .await;
}

/// Guards: `in_flight = "wait 1s"` bounds the wait for a turn and the wait in the database.
pub(crate) async fn that_waits_too_long(axis: Axis, fate: Fate) {
    let db = CaseDb::start(axis).await;
    let mut first = first(&db, fate).await;
    let impatient = super::connect_impatient(&db).await;
    let elsewhere = delivered(Which::Soon, &impatient, Order::plain("o"));
    if !(fate == Fate::IsKilled && super::KILLS_PROCESSES) {
        let here = delivered(Which::Soon, &first.pool, Order::plain("o"));
        assert_eq!(here.await.unwrap(), "InFlight");
    }
    assert_eq!(elsewhere.await.unwrap(), BUSY);
    db.assert_state(&State::nothing()).await;
    assert_eq!(first.ends(&db, fate).await, end_of(fate, "Executed(7)"));
    db.assert_whole_if(fate.commits(), &[&first.pool]).await;
}

/// Guards: a claim that the database sacrifices is tried again: on MariaDB the first one's rollback
/// makes a deadlock of those who wait, on PostgreSQL its commit is newer than their snapshots.
pub(crate) async fn three_waiters(axis: Axis, fate: Fate) {
    let db = CaseDb::start(axis).await;
    let mut first = first(&db, fate).await;
    // Connections of their own: a call on one takes no turn, so all three wait in the database.
    let pool = db.connect(3).await;
    let mut waiters = JoinSet::new();
    for _ in 0..3 {
        let mut conn = pool.acquire().await.unwrap();
        waiters.spawn(async move { applied(&mut conn, &Order::plain("o")).await });
    }
    db.until_waiting(&pool, 3).await;
    assert_eq!(first.ends(&db, fate).await, end_of(fate, "Executed(7)"));
    let mut ends = waiters.join_all().await;
    ends.sort();
    assert_eq!(ends, [next(fate), "Replayed(7)", "Replayed(7)"]);
    db.assert_then(
        &[&first.pool, &pool],
        State::whole(),
        "Replayed(7)",
        State::whole(),
    )
    .await;
}

/// Guards: the fingerprint is stored with the claim, and compared before anything is replayed.
pub(crate) async fn with_another_fingerprint(axis: Axis, fate: Fate) {
    let db = CaseDb::start(axis).await;
    let mut first = first(&db, fate).await;
    let duplicate = delivered(Which::Apply, &db.pool, Order::plain("o").of(8));
    db.until_waiting(&db.pool, 1).await;
    assert_eq!(first.ends(&db, fate).await, end_of(fate, "Executed(7)"));
    let (now, next, cents) = if fate.commits() {
        ("FingerprintMismatch", "Replayed(7)", "7")
    } else {
        ("Executed(8)", "FingerprintMismatch", "8")
    };
    assert_eq!(duplicate.await.unwrap(), now);
    let state = State::nothing()
        .effect("o")
        .claim("anomalies.apply", RESULT, Some(cents))
        .event("o");
    db.assert_then(&[&first.pool, &db.pool], state.clone(), next, state)
        .await;
}

/// Guards: a handler without a key is fenced by a savepoint, and its event is of its transaction.
pub(crate) async fn of_a_keyless_handler(axis: Axis, fate: Fate) {
    let db = CaseDb::start(axis).await;
    let order = Order::held("o", []);
    let mut first = First::start(&db, fate, Which::Keyless, order).await;
    db.assert_state(&State::nothing()).await;
    assert_eq!(first.ends(&db, fate).await, end_of(fate, "Ok(7)"));
    let deliveries = usize::from(fate.commits());
    for before in deliveries..=deliveries + 1 {
        let state = db.state().await;
        assert_eq!(state.effects, vec!["o"; before]);
        assert_eq!(state.claims, []);
        let mut ids = state.events;
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), before, "each delivery has an event of its own");
        db.assert_at_rest(&[&first.pool]).await;
        // There are no duplicates without a key.
        let next = delivered(Which::Keyless, &db.pool, Order::plain("o"));
        assert_eq!(next.await.unwrap(), "Ok(7)");
    }
}

/// Guards: what a handler's own transaction holds is kept or undone with it, handled orders among
/// it.
pub(crate) async fn of_nested_handlers(axis: Axis, fate: Fate) {
    let db = CaseDb::start(axis).await;
    let order = Order::held("o", []);
    let mut first = First::start(&db, fate, Which::Outer, order).await;
    db.assert_state(&State::nothing()).await;
    assert_eq!(first.ends(&db, fate).await, end_of(fate, "Executed(14)"));
    let both = State::nothing()
        .effect("o")
        .effect("p")
        .claim("anomalies.outer", RESULT, Some("14"))
        .claim("anomalies.apply", RESULT, Some("7"))
        .event("p");
    let now = if fate.commits() {
        both.clone()
    } else {
        State::nothing()
    };
    db.assert_state(&now).await;
    db.assert_at_rest(&[&first.pool]).await;
    let inner = applied(&db.pool, &Order::plain("p")).await;
    let outer = delivered(Which::Outer, &db.pool, Order::plain("o"));
    let expected = if fate.commits() {
        ("Replayed(7)", "Replayed(14)")
    } else {
        // The outer one finds the inner one handled.
        ("Executed(7)", "Executed(14)")
    };
    assert_eq!((inner.as_str(), outer.await.unwrap().as_str()), expected);
    db.assert_state(&both).await;
    db.assert_at_rest(&[&db.pool]).await;
}

/// A thousand calls of one order at once, in a pool of four.
///
/// Guards: those who wait hold no connection, so none of them times out in the pool.
pub(crate) async fn a_thousand(axis: Axis) {
    let db = CaseDb::start(axis).await;
    let pool = db.connect(4).await;
    let stage = Arc::new(Stage::new());
    let mut calls = JoinSet::new();
    for _ in 0..1_000 {
        let (pool, stage) = (pool.clone(), Arc::clone(&stage));
        let order = Order::held("o", []);
        calls.spawn(async move { deliver(Which::Apply, &pool, &order, &stage).await });
    }
    stage.met().await;
    stage.let_go_on(crate::stage::Verdict::Well);
    let ends = calls.join_all().await;
    let executed = ends.iter().filter(|end| *end == "Executed(7)").count();
    let replayed = ends.iter().filter(|end| *end == "Replayed(7)").count();
    assert_eq!((executed, replayed, stage.executions()), (1, 999, 1));
    db.assert_then(&[&pool], State::whole(), "Replayed(7)", State::whole())
        .await;
}
