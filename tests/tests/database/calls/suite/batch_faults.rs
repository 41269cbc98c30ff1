//! Batches that are dropped, and keys that are purged while a batch claims them.

use std::collections::BTreeSet;

use idem_runtime::{Handler, Outcome, Received, purge};
use idem_tests::poll::drop_at_pending;

use super::batch_handlers::{PlaceOne, apply_all, place_all};
use super::{Db, EIGHT_DAYS_AGO, outbox_rows, start};
use crate::model::Order;

/// Points at which a call may wait. A reply that is there already is none.
const POINTS: std::ops::Range<usize> = 1..80;

fn orders() -> [Order; 3] {
    ["b", "a", "c"].map(Order::new)
}

/// Whether each delivery was executed.
async fn place(db: &Db, ordinary: bool) -> BTreeSet<bool> {
    let orders = orders();
    let entries = if ordinary {
        let received = orders.map(|order| Received::new("m", order));
        let received: Vec<_> = received.iter().collect();
        PlaceOne::call_batch(&db.pool, &received, &()).await
    } else {
        place_all(&db.pool, &orders.each_ref()).await
    };
    let entries = entries.unwrap().into_iter();
    entries.map(|entry| entry.unwrap().is_executed()).collect()
}

/// Guards: a dropped batch leaves all of its claims, effects and events, or none of them, and its
/// connection does not go on in its transaction.
#[tokio::test]
async fn a_batch_that_is_dropped_anywhere_happens_whole_or_not_at_all() {
    for ordinary in [false, true] {
        let db = start().await;
        let mut dropped = 0;
        for k in POINTS {
            let at = format!("dropped at {k}, ordinary: {ordinary}");
            let whole = drop_at_pending(k, place(&db, ordinary)).await;
            dropped += usize::from(whole.is_none());
            // All of them are new, or none of them is.
            let again = place(&db, ordinary).await;
            assert_eq!(again.len(), 1, "{at}: {again:?}");
            assert!(whole.is_none() || again == BTreeSet::from([false]), "{at}");
            let mut effects = db.effects().await;
            effects.sort();
            assert_eq!(effects, ["a", "b", "c"], "{at}");
            assert_eq!(outbox_rows(&db).await.len(), 6, "{at}");
            for table in ["effects", "idem_keys", "idem_outbox"] {
                db.execute(&format!("DELETE FROM {table}")).await;
            }
            if whole.is_some() {
                break;
            }
        }
        // How many depends on which replies were there already.
        assert!(dropped >= 1);
        db.assert_no_open_transaction().await;
    }
}

/// Guards: a key that is purged between a claim and the look at it is claimed again, and not left
/// out.
#[tokio::test]
async fn a_purge_that_races_leaves_each_event_with_as_many_effects_as_executions() {
    let db = start().await;
    let orders: Vec<Order> = (0..40).map(|n| Order::new(&format!("{n:02}"))).collect();
    let mut executed = 0;
    for round in 0..12 {
        db.execute(&format!(
            "UPDATE idem_keys SET expires_at = {EIGHT_DAYS_AGO}"
        ))
        .await;
        let mut batch: Vec<_> = orders.iter().collect();
        batch.rotate_left(round * 7 % 40);
        let call = async {
            // On SQLite a writer holds all others up.
            loop {
                if let Ok(entries) = apply_all(&db.pool, &batch).await {
                    break entries;
                }
            }
        };
        let (entries, _) = tokio::join!(call, purge(&db.pool));
        let entries = entries.into_iter().map(Result::unwrap);
        executed += entries.filter(Outcome::is_executed).count();
        assert_eq!(db.effects().await.len(), executed, "round {round}");
    }
    assert!(executed >= 40);
    db.assert_no_open_transaction().await;
}
