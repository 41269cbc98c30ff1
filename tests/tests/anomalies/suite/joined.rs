//! Calls in a transaction of the caller: its fate is the caller's.

use idem_tests::poll::drop_at_pending;

use super::Axis;
use super::case_db::CaseDb;
use super::handlers::{Which, applied, apply, deliver};
use super::other::Other;
use crate::fate::Fate;
use crate::model::{Order, State};
use crate::stage::Stage;

/// Guards: a joined call commits nothing itself, and its claim holds the key until the caller's
/// transaction ends.
pub(crate) async fn is_its_callers(axis: Axis, fate: Fate) {
    let db = CaseDb::start(axis).await;
    let mut caller = Other::begin(&db, fate).await;
    caller
        .sql("INSERT INTO effects (id) VALUES ('caller')")
        .await;
    let order = Order::plain("o");
    assert_eq!(applied(&mut caller.tx, &order).await, "Executed(7)");
    assert_eq!(applied(&mut caller.tx, &order).await, "Replayed(7)");
    db.assert_state(&State::nothing()).await;
    let duplicate = tokio::spawn({
        let pool = db.pool.clone();
        async move { deliver(Which::Apply, &pool, &Order::plain("o"), &Stage::new()).await }
    });
    db.until_waiting(&db.pool, 1).await;
    let ended = caller.ends(&db, fate).await;
    let (end, state) = if fate.commits() {
        ("Replayed(7)", State::whole().effect("caller"))
    } else {
        ("Executed(7)", State::whole())
    };
    assert_eq!(duplicate.await.unwrap(), end);
    db.assert_then(
        &[&ended.pool, &db.pool],
        state.clone(),
        "Replayed(7)",
        state,
    )
    .await;
}

/// Guards: a joined call that is dropped in its body takes back its own effects and nothing else.
pub(crate) async fn dropped_in_its_body(axis: Axis, fate: Fate) {
    let db = CaseDb::start(axis).await;
    let mut caller = Other::begin(&db, fate).await;
    caller
        .sql("INSERT INTO effects (id) VALUES ('caller')")
        .await;
    let (order, stage) = (Order::held("o", []), Stage::new());
    {
        let mut call = std::pin::pin!(apply(&mut caller.tx, &order, &stage));
        tokio::select! {
            end = &mut call => panic!("nobody lets it go on: {end:?}"),
            () = stage.met() => {}
        }
    }
    let ended = caller.ends(&db, fate).await;
    let caller = if fate.commits() {
        State::nothing().effect("caller")
    } else {
        State::nothing()
    };
    let then = if fate.commits() {
        State::whole().effect("caller")
    } else {
        State::whole()
    };
    db.assert_then(&[&ended.pool], caller, "Executed(7)", then)
        .await;
}

/// Guards: a handler's error is undone to the call's savepoint; the caller's transaction goes on.
pub(crate) async fn refused(axis: Axis, fate: Fate) {
    let db = CaseDb::start(axis).await;
    let mut caller = Other::begin(&db, fate).await;
    caller
        .sql("INSERT INTO effects (id) VALUES ('caller')")
        .await;
    let violates = Order::new(
        "o",
        [crate::model::sql("INSERT INTO uniques (id) VALUES (11)")],
    );
    for _ in 0..2 {
        let end = applied(&mut caller.tx, &violates).await;
        assert!(end.starts_with("Handler("), "{end}");
    }
    let order = Order::plain("p");
    assert_eq!(applied(&mut caller.tx, &order).await, "Executed(7)");
    let ended = caller.ends(&db, fate).await;
    let handled = State::nothing()
        .effect("caller")
        .effect("p")
        .claim("anomalies.apply", crate::model::RESULT, Some("7"))
        .event("p");
    let (now, then) = if fate.commits() {
        let then = handled
            .clone()
            .effect("o")
            .claim("anomalies.apply", crate::model::RESULT, Some("7"))
            .event("o");
        (handled, then)
    } else {
        (State::nothing(), State::whole())
    };
    db.assert_then(&[&ended.pool], now, "Executed(7)", then)
        .await;
}

/// Inside the caller's transaction, whose COMMIT either keeps all of the rest or fails.
///
/// Guards: the savepoint's begin is not dropped half way. sqlx would queue a ROLLBACK of the
/// caller's transaction and let the caller's `commit()` say `Ok`.
pub(crate) async fn dropped_at_any_pending_point(axis: Axis) {
    let db = CaseDb::start(axis).await;
    let mut k = 0;
    loop {
        let mut caller = Other::begin(&db, Fate::Commits).await;
        caller
            .sql("INSERT INTO effects (id) VALUES ('caller')")
            .await;
        let (order, nobody) = (Order::plain("o"), Stage::new());
        let whole = drop_at_pending(k, apply(&mut caller.tx, &order, &nobody)).await;
        let committed = caller.tx.commit().await.is_ok();
        super::assert_no_open_transaction(&db).await;
        let state = db.state().await;
        let mut expected = [State::nothing(), State::whole()].to_vec();
        if committed {
            for state in &mut expected {
                *state = state.clone().effect("caller");
            }
        } else {
            expected.truncate(1);
        }
        assert!(expected.contains(&state), "dropped at {k}: {state:?}");
        if whole.is_some() {
            assert!(committed);
            if k > 1 {
                break;
            }
            // The server was faster than each poll, so it was dropped nowhere but before the first.
            k = 0;
        } else {
            k += 1;
            let end = applied(&db.pool, &order).await;
            assert!(
                ["Executed(7)", "Replayed(7)"].contains(&end.as_str()),
                "{end}"
            );
            assert_eq!(db.state().await.events, State::whole().events);
        }
        for table in ["effects", "idem_keys", "idem_outbox"] {
            db.execute(&format!("DELETE FROM {table}")).await;
        }
    }
    db.assert_at_rest(&[&db.pool]).await;
}
