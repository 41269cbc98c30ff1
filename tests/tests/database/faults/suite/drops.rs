//! Calls that are dropped while they wait.

use idem_runtime::Outcome;
use idem_tests::poll::drop_at_pending;

use super::{Deed, Order, apply, claims, count, effects, sql, start};

/// Rounds, and the points in each at which a call may be waiting.
fn points() -> impl Iterator<Item = (usize, usize)> {
    (0..5).flat_map(|round| (0..100).map(move |k| (round, k)))
}

/// Guards: the connection is armed to be closed from its acquisition to the end. Dropped at every
/// point where the call waits, it leaves no open transaction in the pool, and no effect without
/// claim or claim without effect.
#[tokio::test]
async fn a_call_dropped_at_any_pending_point_leaves_all_or_nothing() {
    let db = start(2).await;
    let (mut dropped, mut committed, mut whole) = (0, 0, None);
    // A reply that is there already is no point to wait at: rounds find them all.
    for (round, k) in points() {
        if whole == Some(round) {
            continue;
        }
        let order = Order::new(
            &format!("o{round}.{k}"),
            [Deed::Sql("INSERT INTO effects (id) VALUES ('more')")],
        );
        if drop_at_pending(k, apply(&db.pool, &order)).await.is_some() {
            whole = Some(round);
            continue;
        }
        dropped += 1;
        db.assert_no_open_transaction().await;
        let claimed = count(&db.pool, "SELECT count(*) FROM idem_keys WHERE state = 1").await;
        assert_eq!(
            claims(&db.pool).await,
            claimed,
            "a claim without its end, dropped at {k}"
        );
        let effects_before = effects(&db.pool, &order.id).await;
        committed += effects_before;
        let expected = if effects_before == 1 {
            Outcome::Replayed(7)
        } else {
            Outcome::Executed(7)
        };
        assert_eq!(
            apply(&db.pool, &order).await.unwrap(),
            expected,
            "dropped at {k}"
        );
        assert_eq!(effects(&db.pool, &order.id).await, 1, "dropped at {k}");
    }
    println!("dropped at {dropped} points, {committed} had committed");
    assert!(dropped > 0);
}

/// The same inside the caller's transaction, whose COMMIT either keeps all of the rest or fails.
///
/// Guards: the savepoint's begin is not dropped half way. sqlx would queue a ROLLBACK of the
/// caller's transaction and let the caller's `commit()` say `Ok`.
#[tokio::test]
async fn a_joined_call_dropped_at_any_pending_point_never_falsifies_the_callers_commit() {
    let db = start(2).await;
    let (mut dropped, mut whole_in) = (0, None);
    for (round, k) in points() {
        if whole_in == Some(round) {
            continue;
        }
        let (order, before) = (
            Order::plain(&format!("o{round}.{k}")),
            format!("before{round}.{k}"),
        );
        let mut tx = db.pool.begin().await.unwrap();
        sql(
            &mut tx,
            &format!("INSERT INTO effects (id) VALUES ('{before}')"),
        )
        .await
        .unwrap();
        let whole = drop_at_pending(k, apply(&mut tx, &order)).await.is_some();
        let committed = tx.commit().await.is_ok();
        if whole {
            assert!(committed);
            whole_in = Some(round);
            continue;
        }
        dropped += 1;
        db.assert_no_open_transaction().await;
        assert_eq!(
            effects(&db.pool, &before).await,
            i64::from(committed),
            "dropped at {k}"
        );
        assert_eq!(
            effects(&db.pool, &order.id).await,
            count(&db.pool, &format!("SELECT count(*) FROM effects WHERE id = '{}' AND (SELECT count(*) FROM idem_keys WHERE state = 1) > 0", order.id)).await,
            "an effect without its claim, dropped at {k}"
        );
        let _outcome = apply(&db.pool, &order).await.unwrap();
        assert_eq!(effects(&db.pool, &order.id).await, 1, "dropped at {k}");
        sql(
            &mut db.pool.acquire().await.unwrap(),
            "DELETE FROM idem_keys",
        )
        .await
        .unwrap();
    }
    assert!(dropped > 0);
}
