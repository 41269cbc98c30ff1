//! What is stored of a delivery, and what the next one makes of it.

use super::Axis;
use super::case_db::CaseDb;
use super::first::{First, end_of};
use super::handlers::{Which, applied, deliver};
use crate::fate::Fate;
use crate::model::{DONE, ERROR, Order, RESULT, State};
use crate::stage::{Stage, Verdict};

async fn delivered(db: &CaseDb, which: Which) -> String {
    deliver(which, &db.pool, &Order::plain("o"), &Stage::new()).await
}

/// Guards: a result that can't be read is an error, not a second execution and not an empty
/// success.
pub(crate) async fn unreadable(axis: Axis, fate: Fate) {
    let db = CaseDb::start(axis).await;
    let order = Order::held("o", []);
    let mut first = First::start(&db, fate, Which::OtherType, order).await;
    let text = |outcome: &str| format!("{outcome}(\"7 cents\")");
    assert_eq!(first.ends(&db, fate).await, end_of(fate, &text("Executed")));
    if fate.commits() {
        let state = State::nothing()
            .effect("o")
            .claim("anomalies.apply", RESULT, Some("\"7 cents\""))
            .event("o");
        for _ in 0..2 {
            db.assert_then(
                &[&first.pool],
                state.clone(),
                "ResultUndecodable",
                state.clone(),
            )
            .await;
        }
        // The type that wrote it still reads it.
        assert_eq!(delivered(&db, Which::OtherType).await, text("Replayed"));
    } else {
        db.assert_whole_if(false, &[&first.pool]).await;
        assert_eq!(delivered(&db, Which::OtherType).await, "ResultUndecodable");
    }
}

/// Guards: `on_duplicate = "skip"` stores no result, and a claim that is done without one is
/// skipped.
pub(crate) async fn not_stored(axis: Axis, fate: Fate) {
    let db = CaseDb::start(axis).await;
    let order = Order::held("o", []);
    let mut first = First::start(&db, fate, Which::Skipped, order).await;
    assert_eq!(first.ends(&db, fate).await, end_of(fate, "Executed(7)"));
    let done = State::nothing()
        .effect("o")
        .claim("anomalies.apply", DONE, None)
        .event("o");
    let (now, next) = if fate.commits() {
        (done.clone(), "Replayed(())")
    } else {
        (State::nothing(), "Executed(7)")
    };
    db.assert_state(&now).await;
    db.assert_at_rest(&[&first.pool]).await;
    assert_eq!(delivered(&db, Which::Skipped).await, next);
    // A handler that stores results finds none: an error, not an empty one.
    db.assert_then(&[&db.pool], done.clone(), "ResultUndecodable", done)
        .await;
}

/// Guards: `on_error = "record"` undoes the effects by a savepoint and keeps the claim, in the same
/// transaction. A permanent error of a call that was killed before its end is not recorded, and so
/// not told, or its delivery would be acknowledged: the next one runs.
pub(crate) async fn permanent_error(axis: Axis, fate: Fate) {
    let db = CaseDb::start(axis).await;
    let (which, refusal) = match fate {
        Fate::RollsBack => (Which::RecordedIfClosed, "may pass on the next delivery"),
        _ => (Which::Recorded, "will be refused again"),
    };
    let mut first = First::start(&db, fate, which, Order::held("o", [])).await;
    let end = first.ends_by(&db, fate, Verdict::Refused).await;
    if fate == Fate::IsKilled {
        assert!(end == "-" || end.starts_with("Store("), "{end}");
    } else {
        assert_eq!(end, format!("Handler({refusal})"));
    }
    let executed = State::nothing()
        .effect("o")
        .claim("anomalies.recorded", RESULT, Some("7"));
    let (now, next, then) = if fate.commits() {
        let recorded = State::nothing().claim("anomalies.recorded", ERROR, Some("\"Closed\""));
        (recorded.clone(), "Handler(will be refused again)", recorded)
    } else {
        (State::nothing(), "Executed(7)", executed)
    };
    db.assert_state(&now).await;
    db.assert_at_rest(&[&first.pool]).await;
    assert_eq!(delivered(&db, Which::Recorded).await, next);
    let mut found = db.state().await;
    // Its ID is of another scope.
    assert_eq!(found.events.len(), then.effects.len());
    found.events.clear();
    assert_eq!(found, then);
    db.assert_at_rest(&[&db.pool]).await;
    // Another scope: the key is free in it.
    assert_eq!(applied(&db.pool, &Order::plain("o")).await, "Executed(7)");
}
