//! Calls inside a transaction of the caller, and handlers that are methods.

use idem_runtime::Outcome;
use sqlx::raw_sql;

use super::handlers::{Shop, apply, begin, effect, keyless, outer, place, record};
use super::in_flight::database_code;
use super::{CLAIMS_AFTER_READING, claims, outbox_rows, start};
use crate::model::{Ending, Order, Receipt, Refusal, end, refused, refused_before};

#[tokio::test]
async fn the_callers_commit_decides() {
    let db = start().await;
    let order = Order::new("o");
    for commits in [false, true] {
        let mut tx = begin(&db.pool).await;
        assert_eq!(
            end(place(&mut tx, &order).await),
            Ok(Outcome::Executed(order.receipt()))
        );
        assert_eq!(
            end(place(&mut tx, &order).await),
            Ok(Outcome::Replayed(order.receipt()))
        );
        assert_eq!(
            keyless(&mut tx, &Order::new("p")).await.unwrap(),
            Order::new("p").receipt()
        );
        if commits {
            tx.commit().await.unwrap();
        } else {
            tx.rollback().await.unwrap();
            assert_eq!(
                (
                    db.effects().await,
                    claims(&db).await,
                    outbox_rows(&db).await
                ),
                (vec![], vec![], vec![])
            );
        }
    }
    assert_eq!(db.effects().await, ["o", "p"]);
    assert_eq!(
        (claims(&db).await.len(), outbox_rows(&db).await.len()),
        (1, 4)
    );
    assert_eq!(
        end(place(&db.pool, &order).await),
        Ok(Outcome::Replayed(order.receipt()))
    );
}

#[tokio::test]
async fn a_handlers_error_leaves_the_callers_transaction_whole() {
    let db = start().await;
    let before = Order::new("before");
    assert!(apply(&db.pool, &before).await.unwrap().is_executed());
    let mut tx = begin(&db.pool).await;
    effect(&mut tx, "caller").await.unwrap();
    assert_eq!(
        end(apply(&mut tx, &Order::refused("o", Refusal::Busy)).await),
        refused(Refusal::Busy)
    );
    assert_eq!(
        end(apply(&mut tx, &before).await),
        Ok(Outcome::Replayed(before.receipt()))
    );
    assert_eq!(
        keyless(&mut tx, &Order::refused("p", Refusal::Closed))
            .await
            .map_err(|error| format!("{error:?}")),
        refused(Refusal::Closed)
    );
    assert_eq!(
        end(record(&mut tx, &Order::refused("q", Refusal::Closed)).await),
        refused(Refusal::Closed)
    );
    assert_eq!(
        end(record(&mut tx, &Order::new("q")).await),
        refused_before(Refusal::Closed)
    );
    tx.commit().await.unwrap();
    assert_eq!(db.effects().await, ["before", "caller"]);
    assert_eq!(
        claims(&db)
            .await
            .iter()
            .map(|claim| (claim.scope.as_str(), claim.state))
            .collect::<Vec<_>>(),
        [("contract.apply", 1), ("contract.record", 2)]
    );
    assert_eq!(outbox_rows(&db).await, []);
}

#[tokio::test]
async fn a_transaction_that_has_read_sees_what_its_claim_met() {
    let db = start().await;
    let order = Order::new("o");
    let mut tx = begin(&db.pool).await;
    raw_sql("SELECT id FROM effects")
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    assert!(apply(&db.pool, &order).await.unwrap().is_executed());
    let joined = apply(&mut tx, &order).await;
    if CLAIMS_AFTER_READING {
        assert_eq!(end(joined), Ok(Outcome::Replayed(order.receipt())));
    } else {
        // SQLITE_BUSY_SNAPSHOT
        assert_eq!(database_code(joined), "517");
    }
    tx.rollback().await.unwrap();
    assert_eq!(db.effects().await, ["o"]);
}

#[tokio::test]
async fn nested_handlers_are_one_transaction() {
    let db = start().await;
    let order = Order::new("o");
    let fails = Order {
        ending: Ending::Refused(Refusal::Busy),
        ..order.clone()
    };
    assert_eq!(end(outer(&db.pool, &fails).await), refused(Refusal::Busy));
    assert_eq!((db.effects().await, claims(&db).await), (vec![], vec![]));

    let result = (order.receipt(), true);
    assert_eq!(
        end(outer(&db.pool, &order).await),
        Ok(Outcome::Executed(result.clone()))
    );
    assert_eq!(
        end(outer(&db.pool, &order).await),
        Ok(Outcome::Replayed(result))
    );
    let inner = Order::new("o-inner");
    assert_eq!(
        end(apply(&db.pool, &inner).await),
        Ok(Outcome::Replayed(inner.receipt()))
    );
    let other = Order::new("p-inner");
    assert!(apply(&db.pool, &other).await.unwrap().is_executed());
    assert_eq!(
        end(outer(&db.pool, &Order::new("p")).await),
        Ok(Outcome::Executed((Order::new("p").receipt(), false)))
    );
    assert_eq!(db.effects().await, ["o", "o-inner", "p", "p-inner"]);
}

#[tokio::test]
async fn a_method_is_a_handler() {
    let db = start().await;
    let order = Order::new("o");
    for name in ["north", "south"] {
        let receipt = Receipt {
            note: Some(name.into()),
            ..order.receipt()
        };
        let shop = Shop { name };
        assert_eq!(
            end(shop.apply(&db.pool, &order).await),
            Ok(Outcome::Executed(receipt.clone()))
        );
        assert_eq!(
            end(shop.apply(&db.pool, &order).await),
            Ok(Outcome::Replayed(receipt))
        );
    }
    assert_eq!(db.effects().await, ["o", "o"]);
}
