//! Calls that are dropped while they begin. A connection that went back to its pool with a
//! transaction open would be poison for whoever is given it next.

use idem_tests::poll::drop_at_pending;

use super::case_db::CaseDb;
use super::handlers::{applied, apply};
use super::other::Other;
use super::{Axis, Pool};
use crate::fate::Fate;
use crate::model::{Order, State};
use crate::stage::Stage;

/// Dropped at each point where they wait, as often as that takes.
///
/// Guards: the connection is armed to be closed from its acquisition to the end. sqlx's own
/// `begin()`, dropped half way, gives an open transaction back to the pool.
pub(crate) async fn dropped_at_each_point(axis: Axis) {
    const BEGINS: usize = 500;
    let db = CaseDb::start(axis).await;
    let pool = db.connect(1).await;
    let (mut dropped, mut k) = (0, 0);
    while dropped < BEGINS {
        let (order, stage) = (Order::held("o", []), Stage::new());
        let begun = tokio::select! {
            end = drop_at_pending(k, apply(&pool, &order, &stage)) => {
                assert!(end.is_none(), "nobody lets it go on: {end:?}");
                false
            }
            () = stage.met() => true,
        };
        // Where its handler has begun, all points before that have had their turn.
        (dropped, k) = if begun {
            (dropped, 0)
        } else {
            (dropped + 1, k + 1)
        };
        db.assert_at_rest(&[&pool]).await;
    }
    db.assert_then(&[&pool], State::nothing(), "Executed(7)", State::whole())
        .await;
}

/// Dropped when the database has what begins them, and has them wait.
///
/// Guards: the same. What a dropped call leaves on the server waits for no longer than the call
/// would have.
pub(crate) async fn dropped_in_the_hands_of_the_database(axis: Axis) {
    const ROUNDS: usize = 125;
    let db = CaseDb::start(axis).await;
    // One connection each: what waits is of this very call.
    let pools: [Pool; 4] = [
        db.connect(1).await,
        db.connect(1).await,
        db.connect(1).await,
        db.connect(1).await,
    ];
    for _ in 0..ROUNDS {
        let mut holder = Other::begin(&db, Fate::RollsBack).await;
        let end = applied(&mut holder.tx, &Order::plain("o")).await;
        assert_eq!(end, "Executed(7)");
        for (before, pool) in pools.iter().enumerate() {
            let (order, stage) = (Order::plain("o"), Stage::new());
            let waiting = super::waiting_after(i64::try_from(before).unwrap());
            tokio::select! {
                end = apply(pool, &order, &stage) => panic!("its key is held: {end:?}"),
                () = db.until_waiting(pool, waiting) => {}
            }
        }
        holder.ends(&db, Fate::RollsBack).await;
        db.assert_at_rest(&pools.each_ref()).await;
    }
    let pools = pools.each_ref();
    db.assert_then(&pools, State::nothing(), "Executed(7)", State::whole())
        .await;
}
