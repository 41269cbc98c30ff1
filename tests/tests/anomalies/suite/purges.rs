//! A purge that runs at the same time as a claim of the same table.

use super::case_db::CaseDb;
use super::handlers::applied;
use super::other::Other;
use super::{Axis, BEGIN, LOSE_TO_PURGES};
use crate::fate::Fate;
use crate::model::{Order, State};

/// A duplicate comes while a purge takes its row: the fate is that of the purge.
///
/// Guards: the claim waits for the end of who deletes its row, and then finds it or not. (The
/// duplicate is in a transaction of its caller, which claims in any case; one on a pool may ask
/// first, and then finds what is committed.)
pub(crate) async fn takes_the_row_of_a_duplicate(axis: Axis, fate: Fate) {
    let db = CaseDb::start(axis).await;
    assert_eq!(applied(&db.pool, &Order::plain("o")).await, "Executed(7)");
    let mut purge = Other::begin(&db, fate).await;
    purge.sql("DELETE FROM idem_keys WHERE state = 1").await;
    let duplicate = tokio::spawn({
        let pool = db.pool.clone();
        async move {
            let mut tx = pool.begin_with(BEGIN).await.unwrap();
            let end = applied(&mut tx, &Order::plain("o")).await;
            tx.commit().await.unwrap();
            end
        }
    });
    db.until_waiting(&db.pool, 1).await;
    let ended = purge.ends(&db, fate).await;
    let (end, state) = if fate.commits() {
        // Its retention was over. The event has the ID of the first one, and stays as it is.
        ("Executed(7)", State::whole().effect("o"))
    } else {
        ("Replayed(7)", State::whole())
    };
    if fate.commits() && LOSE_TO_PURGES.contains(&axis) {
        // The caller's whole transaction must run again.
        assert_eq!(duplicate.await.unwrap(), "Store(40001)");
        assert_eq!(applied(&db.pool, &Order::plain("o")).await, end);
    } else {
        assert_eq!(duplicate.await.unwrap(), end);
    }
    db.assert_then(
        &[&ended.pool, &db.pool],
        state.clone(),
        "Replayed(7)",
        state,
    )
    .await;
}
