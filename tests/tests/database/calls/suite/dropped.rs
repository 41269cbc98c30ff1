//! Calls that are dropped at each of their await points, and what comes next on the same connection
//! or pool.

use idem_runtime::Outcome;
use idem_tests::poll::drop_at_pending;

use super::handlers::place;
use super::{Conn, Db, outbox_rows, start};
use crate::model::Order;

/// Points at which a call may wait. A reply that is there already is none, so rounds find them all.
const POINTS: std::ops::Range<usize> = 1..60;
const ROUNDS: usize = 2;

/// What a dropped call and the next one left: each message once, with its events, or not at all.
async fn assert_once(db: &Db, order: &Order, next: &Order, at: &str) {
    for order in [order, next] {
        let here = db
            .effects()
            .await
            .iter()
            .filter(|id| **id == order.id)
            .count();
        let again = place(&db.pool, order).await.unwrap();
        assert_eq!(
            again.is_replayed(),
            here == 1,
            "{at}: {here} effects, then {again:?}"
        );
        let effects = db.effects().await;
        let effects = effects.iter().filter(|id| **id == order.id).count();
        assert_eq!(effects, 1, "{at}");
    }
    assert_eq!(outbox_rows(db).await.len(), 6, "{at}");
    for table in ["effects", "idem_keys", "idem_outbox"] {
        db.execute(&format!("DELETE FROM {table}")).await;
    }
}

/// Guards: the rollback that a dropped call queues, and the question whether a transaction is open
/// before the next one begins.
#[tokio::test]
async fn the_call_after_a_dropped_one_on_a_connection_has_its_effect_or_fails() {
    let db = start().await;
    for round in 0..ROUNDS {
        let mut conn = db.pool.acquire().await.unwrap().detach();
        for k in POINTS {
            let at = format!("round {round}, dropped at {k}");
            let (order, next) = (Order::new("dropped"), Order::new("next"));
            let whole = drop_at_pending(k, place(&mut conn, &order)).await;
            if let Some(outcome) = whole {
                assert!(outcome.unwrap().is_executed(), "{at}");
                break;
            }
            let failed = follow(&db, &mut conn, &next, &at).await;
            if failed {
                // What the guide says to do.
                drop(std::mem::replace(
                    &mut conn,
                    db.pool.acquire().await.unwrap().detach(),
                ));
            }
            assert_once(&db, &order, &next, &at).await;
        }
        db.execute("DELETE FROM idem_keys").await;
        db.execute("DELETE FROM idem_outbox").await;
        db.execute("DELETE FROM effects").await;
    }
}

/// Makes the next call on a connection. `true`: it failed, and did nothing.
async fn follow(db: &Db, conn: &mut Conn, next: &Order, at: &str) -> bool {
    let result = place(&mut *conn, next).await;
    let effects = db.effects().await;
    let effects = effects.iter().filter(|id| **id == next.id).count();
    let Ok(outcome) = result else {
        assert_eq!(effects, 0, "{at}");
        return true;
    };
    assert_eq!(outcome, Outcome::Executed(next.receipt()), "{at}");
    assert_eq!(effects, 1, "{at}");
    false
}

/// The same for a connection of a pool, which is closed when it is given back: the calls that
/// follow on the pool find none in a transaction.
#[tokio::test]
async fn a_pools_connection_whose_call_was_dropped_serves_on_or_fails() {
    let db = start().await;
    for round in 0..ROUNDS {
        for k in POINTS {
            let at = format!("round {round}, dropped at {k}");
            let (order, next) = (Order::new("dropped"), Order::new("next"));
            let mut conn = db.pool.acquire().await.unwrap();
            let whole = drop_at_pending(k, place(&mut conn, &order)).await;
            if let Some(outcome) = whole {
                assert!(outcome.unwrap().is_executed(), "{at}");
                break;
            }
            let _failed = follow(&db, &mut conn, &next, &at).await;
            drop(conn);
            assert_once(&db, &order, &next, &at).await;
        }
        db.execute("DELETE FROM idem_keys").await;
        db.execute("DELETE FROM idem_outbox").await;
        db.execute("DELETE FROM effects").await;
    }
}
