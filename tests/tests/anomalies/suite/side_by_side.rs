//! What runs at the same time as a delivery that is under way, where more than one transaction
//! writes.

use super::case_db::CaseDb;
use super::first::{First, end_of};
use super::handlers::{Which, applied};
use super::other::Other;
use super::{Axis, LOSE_TO_NEWER};
use crate::fate::Fate;
use crate::model::{Order, RESULT, State};

/// Guards: the claim of a joined call waits like any other. Where the winner is newer than the
/// caller's snapshot, the caller's whole transaction must run again, and hears so.
pub(crate) async fn joined(axis: Axis, fate: Fate) {
    waits(axis, fate, Fate::Commits).await;
}

/// The same for a caller that then rolls back.
pub(crate) async fn joined_and_undone(axis: Axis, fate: Fate) {
    waits(axis, fate, Fate::RollsBack).await;
}

async fn waits(axis: Axis, fate: Fate, caller_ends: Fate) {
    let db = CaseDb::start(axis).await;
    let mut first = First::start(&db, fate, Which::Apply, Order::held("o", [])).await;
    let mut caller = Other::begin(&db, caller_ends).await;
    caller
        .sql("INSERT INTO effects (id) VALUES ('caller')")
        .await;
    // Its snapshot is older than what the first one commits.
    caller.sql("SELECT n FROM uniques WHERE id = 12").await;
    let call = tokio::spawn(async move {
        let end = applied(&mut caller.tx, &Order::plain("o")).await;
        (end, caller)
    });
    db.until_waiting(&db.pool, 1).await;
    first.ends(&db, fate).await;
    let (end, caller) = call.await.unwrap();
    let sees_it = !LOSE_TO_NEWER.contains(&axis);
    let ended = if fate.commits() && !sees_it {
        assert_eq!(end, "Store(40001)");
        // Its snapshot won't see the row, however often it asks.
        caller.ends(&db, Fate::RollsBack).await
    } else {
        let expected = if fate.commits() {
            "Replayed(7)"
        } else {
            "Executed(7)"
        };
        assert_eq!(end, expected);
        caller.ends(&db, caller_ends).await
    };
    let whole = fate.commits() || caller_ends.commits();
    let keeps_caller = caller_ends.commits() && (sees_it || !fate.commits());
    let with_caller = |state: State| {
        if keeps_caller {
            state.effect("caller")
        } else {
            state
        }
    };
    let next = if whole { "Replayed(7)" } else { "Executed(7)" };
    db.assert_then(
        &[&ended.pool, &first.pool],
        with_caller(State::whole_if(whole)),
        next,
        with_caller(State::whole()),
    )
    .await;
}

/// The purge itself, while a delivery runs whose claim is not committed.
///
/// Guards: it takes what is expired, and waits for nobody who claims.
pub(crate) async fn a_purge(axis: Axis, fate: Fate) {
    let db = CaseDb::start(axis).await;
    assert_eq!(applied(&db.pool, &Order::plain("p")).await, "Executed(7)");
    db.execute("UPDATE idem_keys SET expires_at = created_at")
        .await;
    let mut first = First::start(&db, fate, Which::Apply, Order::held("o", [])).await;
    let purged = idem_runtime::purge(&db.pool).await.unwrap();
    assert_eq!((purged.keys, purged.attempts), (1, 0));
    assert_eq!(first.ends(&db, fate).await, end_of(fate, "Executed(7)"));
    let with_p = |state: State| State {
        effects: {
            let mut effects = state.effects;
            effects.push("p".into());
            effects
        },
        events: {
            let mut events = vec![crate::model::event("p")];
            events.extend(state.events);
            events
        },
        claims: state.claims,
    };
    let next = if fate.commits() {
        "Replayed(7)"
    } else {
        "Executed(7)"
    };
    db.assert_then(
        &[&first.pool],
        with_p(State::whole_if(fate.commits())),
        next,
        with_p(State::whole()),
    )
    .await;
    assert_eq!(applied(&db.pool, &Order::plain("p")).await, "Executed(7)");
    let state = db.state().await;
    assert_eq!(state.effects, ["o", "p", "p"]);
    assert_eq!(
        state.claims,
        vec![("anomalies.apply".to_owned(), RESULT, Some("7".to_owned())); 2]
    );
}
