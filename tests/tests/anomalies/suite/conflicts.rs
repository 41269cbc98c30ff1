//! Conflicts that the database decides, between a delivery and a transaction that meets a fate, or
//! two deliveries. Only where transactions write side by side.

use std::sync::Arc;

use idem_runtime::{Error, idempotent};
use tokio::task::JoinSet;

use super::case_db::CaseDb;
use super::first::First;
use super::handlers::{Which, applied, apply, deliver};
use super::other::Other;
use super::{Axis, CONFLICTS, Conn, LOSE_TO_NEWER, READS_LOCK, WIN_DEADLOCKS, YIELD_IN_DEADLOCKS};
use crate::fate::Fate;
use crate::model::{Deed, Order, RESULT, State, end, sql, swallowed};
use crate::stage::{Stage, Verdict};

const LOCK_11: &str = "UPDATE uniques SET n = n + 1 WHERE id = 11";
const LOCK_12: &str = "UPDATE uniques SET n = n + 1 WHERE id = 12";
/// Makes a transaction the heavier one: where that decides, it wins a deadlock.
const LOCK_ALL_BUT_11: &str = "UPDATE uniques SET n = n + 1 WHERE id >= 12";

/// Leads a held delivery that has row 11 into a deadlock that it loses, with a transaction that
/// goes on.
async fn deadlock(db: &CaseDb, first: &First, fate: Fate) -> Other {
    let mut other = Other::begin(db, fate).await;
    other.sql(WIN_DEADLOCKS).await;
    other.sql(LOCK_ALL_BUT_11).await;
    let session = other.session;
    let waits = tokio::spawn(async move {
        other.sql(LOCK_11).await;
        other
    });
    super::until_locked(db, session).await;
    first.stage.let_go_on(Verdict::Well);
    waits.await.unwrap()
}

/// Lets every attempt after the first one go on.
fn let_try_again(first: &First) {
    for _ in 0..8 {
        first.stage.let_go_on(Verdict::Well);
    }
}

/// Guards: the fence, and on MariaDB `autocommit=0` while the transaction is ours. After a deadlock
/// the server has rolled back all of it, sqlx still counts a transaction, and the next statement
/// would commit by itself.
pub(crate) async fn swallowed_deadlock(axis: Axis, fate: Fate) {
    let db = CaseDb::start(axis).await;
    let deeds = [
        sql(YIELD_IN_DEADLOCKS),
        sql(LOCK_11),
        Deed::Meet,
        swallowed(LOCK_12),
        swallowed("INSERT INTO effects (id) VALUES ('after')"),
    ];
    let mut first = First::start(&db, fate, Which::Apply, Order::held("o", deeds)).await;
    let other = deadlock(&db, &first, Fate::Commits).await;
    first.stage.met().await;
    other.ends(&db, Fate::Commits).await;
    let expected = match fate {
        Fate::Commits => "RolledBack".to_owned(),
        fate => fate.end(""),
    };
    assert_eq!(first.ends(&db, fate).await, expected);
    db.assert_whole_if(false, &[&first.pool]).await;
}

/// Guards: `retry` runs the handler again on a fresh transaction. The fate is that of the
/// transaction in its way.
pub(crate) async fn retried_deadlock(axis: Axis, fate: Fate) {
    deadlock_is_retried(axis, fate, Which::Retried, []).await;
}

/// Guards: a conflict is found in an inner handler's error, too, and what the deadlock did to the
/// inner transaction is no hindrance to the next attempt.
pub(crate) async fn retried_deadlock_of_an_inner_handler(axis: Axis, fate: Fate) {
    deadlock_is_retried(axis, fate, Which::OuterRetried, []).await;
}

/// Guards: a connection whose transaction can't be ended is not the one of the next attempt.
pub(crate) async fn retried_deadlock_in_a_leaked_transaction(axis: Axis, fate: Fate) {
    deadlock_is_retried(axis, fate, Which::Retried, [Deed::LeakOnce]).await;
}

async fn deadlock_is_retried<const N: usize>(
    axis: Axis,
    fate: Fate,
    which: Which,
    before: [Deed; N],
) {
    let db = CaseDb::start(axis).await;
    let deeds = [
        Deed::MeetAgain,
        sql(YIELD_IN_DEADLOCKS),
        sql(LOCK_11),
        Deed::Meet,
        sql(LOCK_12),
    ];
    let order = Order::new("o", before.into_iter().chain(deeds).collect::<Vec<_>>());
    let mut first = First::start(&db, Fate::Commits, which, order).await;
    let other = deadlock(&db, &first, fate).await;
    // It runs again, and waits for the one that won.
    first.stage.met().await;
    let_try_again(&first);
    db.until_waiting(&db.pool, 1).await;
    let ended = other.ends(&db, fate).await;
    let of_first = first.pool.clone();
    assert_eq!(first.ends(&db, Fate::Commits).await, "Executed(7)");
    let of_other = db.number("SELECT n FROM uniques WHERE id = 100").await;
    let of_both = db.number("SELECT n FROM uniques WHERE id = 11").await;
    assert_eq!(
        of_both,
        of_other + 1,
        "what the deadlock undid is done once"
    );
    let state = match which {
        Which::OuterRetried => State::whole().claim("anomalies.outer", RESULT, Some("7")),
        _ => State::whole(),
    };
    db.assert_then(
        &[&ended.pool, &of_first],
        state.clone(),
        "Replayed(7)",
        state,
    )
    .await;
}

/// Guards: as above, where another transaction has changed the row that this one has read. The fate
/// is that of the other one.
pub(crate) async fn retried_write_conflict(axis: Axis, fate: Fate) {
    let db = CaseDb::start(axis).await;
    let deeds = [
        Deed::MeetAgain,
        sql("SELECT n FROM uniques WHERE id = 11"),
        Deed::Meet,
        sql(LOCK_11),
    ];
    let order = Order::new("o", deeds);
    let mut first = First::start(&db, Fate::Commits, Which::Retried, order).await;
    let other = if READS_LOCK.contains(&axis) {
        let other = deadlock(&db, &first, fate).await;
        first.stage.met().await;
        other
    } else {
        let mut other = Other::begin(&db, fate).await;
        other.sql(LOCK_11).await;
        first.stage.let_go_on(Verdict::Well);
        other
    };
    let_try_again(&first);
    db.until_waiting(&db.pool, 1).await;
    let ended = other.ends(&db, fate).await;
    let (of_first, stage) = (first.pool.clone(), Arc::clone(&first.stage));
    assert_eq!(first.ends(&db, Fate::Commits).await, "Executed(7)");
    let conflict = READS_LOCK.contains(&axis) || LOSE_TO_NEWER.contains(&axis) && fate.commits();
    assert_eq!(stage.executions() > 1, conflict);
    db.assert_then(
        &[&ended.pool, &of_first],
        State::whole(),
        "Replayed(7)",
        State::whole(),
    )
    .await;
}

/// Two callers claim two keys in opposite order. The fate is that of the one that wins.
///
/// Guards: a deadlock of a joined call is an error of the database, and the caller's transaction
/// can be given up whole.
pub(crate) async fn two_keys_in_opposite_order(axis: Axis, fate: Fate) {
    let db = CaseDb::start(axis).await;
    let [o, p] = [Order::plain("o"), Order::plain("p")];
    let mut winner = Other::begin(&db, fate).await;
    winner.sql(WIN_DEADLOCKS).await;
    winner
        .sql("UPDATE uniques SET n = n + 1 WHERE id >= 100")
        .await;
    let mut loser = Other::begin(&db, Fate::RollsBack).await;
    loser.sql(YIELD_IN_DEADLOCKS).await;
    assert_eq!(applied(&mut winner.tx, &o).await, "Executed(7)");
    assert_eq!(applied(&mut loser.tx, &p).await, "Executed(7)");
    let waits = tokio::spawn(async move {
        let end = applied(&mut winner.tx, &p).await;
        (end, winner)
    });
    db.until_waiting(&db.pool, 1).await;
    let end = applied(&mut loser.tx, &o).await;
    assert!(
        CONFLICTS.iter().any(|code| end == format!("Store({code})")),
        "{end}"
    );
    // The database may have rolled it back already; what counts is that the connection is fit
    // again.
    let lost = loser.pool.clone();
    drop(loser);
    let (end, winner) = waits.await.unwrap();
    assert_eq!(end, "Executed(7)");
    let won = winner.ends(&db, fate).await;
    let both = State::whole()
        .effect("p")
        .claim("anomalies.apply", RESULT, Some("7"))
        .event("p");
    let (now, next, then) = if fate.commits() {
        (both.clone(), "Replayed(7)", both)
    } else {
        (State::nothing(), "Executed(7)", State::whole())
    };
    db.assert_then(&[&won.pool, &lost], now, next, then).await;
}

/// Handles two orders in its transaction, and waits between them.
#[idempotent(key = "id", scope = "anomalies.pair", retry = 8)]
async fn pair(
    tx: &mut Conn,
    id: &str,
    orders: &[Order; 2],
    stage: &Stage,
) -> Result<(), Error<sqlx::Error>> {
    let first_time = stage.enter(0);
    let outcome = apply(&mut *tx, &orders[0], stage).await?;
    assert_eq!(outcome.into_inner(), orders[0].cents);
    if first_time {
        stage.meet().await;
    }
    let outcome = apply(&mut *tx, &orders[1], stage).await?;
    assert_eq!(outcome.into_inner(), orders[1].cents);
    Ok(())
}

/// Two deliveries, each of which handles two orders in its transaction, in opposite order.
///
/// Guards: a conflict is found in the chain of a handler's error, also where an inner call met it,
/// and the outer one runs again.
pub(crate) async fn nested_handlers_in_opposite_order(axis: Axis) {
    let db = CaseDb::start(axis).await;
    let pool = db.connect(2).await;
    let mut calls = JoinSet::new();
    let stages = [Arc::new(Stage::new()), Arc::new(Stage::new())];
    for (id, orders, stage) in [
        ("x", ["o", "p"], Arc::clone(&stages[0])),
        ("y", ["p", "o"], Arc::clone(&stages[1])),
    ] {
        let (pool, orders) = (pool.clone(), orders.map(Order::plain));
        calls.spawn(async move { end(pair(&pool, id, &orders, &stage).await) });
    }
    for stage in &stages {
        stage.met().await;
    }
    for stage in &stages {
        stage.let_go_on(Verdict::Well);
    }
    let ends = calls.join_all().await;
    assert_eq!(ends, ["Executed(())", "Executed(())"]);
    let executions: usize = stages.iter().map(|stage| stage.executions()).sum();
    assert!(executions > 2, "one of them had to run again");
    let mut state = db.state().await;
    state.events.sort();
    let expected = State::whole()
        .effect("p")
        .claim("anomalies.apply", RESULT, Some("7"))
        .claim("anomalies.pair", RESULT, None)
        .claim("anomalies.pair", RESULT, None)
        .event("p");
    assert_eq!(
        (state.effects, state.claims),
        (expected.effects, expected.claims)
    );
    assert_eq!(state.events.len(), 2);
    db.assert_at_rest(&[&pool]).await;
}

/// Two deliveries, each of which reads what the other one writes. Where the database takes that for
/// a conflict, at the write or at COMMIT, one of them runs again.
///
/// Guards: a conflict at COMMIT is a conflict like any other: nothing is stored, and another
/// attempt may win.
pub(crate) async fn write_skew(axis: Axis) {
    let serializable = axis == Axis::Serializable;
    for which in [Which::Retried, Which::Apply] {
        // Tables of its own: where rows were deleted, InnoDB locks the gaps between, and any two
        // inserts may conflict.
        let db = CaseDb::start(axis).await;
        let pool = db.connect(2).await;
        let mut calls = JoinSet::new();
        let stages = [Arc::new(Stage::new()), Arc::new(Stage::new())];
        for (id, [reads, writes], stage) in [
            ("o", [11, 12], Arc::clone(&stages[0])),
            ("p", [12, 11], Arc::clone(&stages[1])),
        ] {
            let pool = pool.clone();
            let deeds = [
                sql(&format!("SELECT n FROM uniques WHERE id = {reads}")),
                Deed::Meet,
                sql(&format!("UPDATE uniques SET n = n + 1 WHERE id = {writes}")),
            ];
            let order = Order::new(id, deeds);
            calls.spawn(async move { deliver(which, &pool, &order, &stage).await });
        }
        for stage in &stages {
            stage.met().await;
        }
        for stage in &stages {
            stage.let_go_on(Verdict::Well);
        }
        let mut ends = calls.join_all().await;
        ends.sort();
        let executions: usize = stages.iter().map(|stage| stage.executions()).sum();
        if which == Which::Apply && serializable {
            assert_eq!(ends[0], "Executed(7)");
            let code = ends[1].split(['(', ')']).nth(1);
            assert!(CONFLICTS.contains(&code.unwrap_or_default()), "{ends:?}");
            assert_eq!(db.state().await.effects.len(), 1);
            for id in ["o", "p"] {
                applied(&db.pool, &Order::plain(id)).await;
            }
        } else {
            assert_eq!(ends, ["Executed(7)", "Executed(7)"]);
            assert_eq!(executions > 2, serializable, "{executions}");
        }
        let state = db.state().await;
        assert_eq!(state.effects, ["o", "p"]);
        assert_eq!((state.claims.len(), state.events.len()), (2, 2));
        db.assert_at_rest(&[&pool]).await;
    }
}
