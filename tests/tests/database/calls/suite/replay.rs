//! What a delivery leaves behind, and what the next one gets.

use idem_runtime::{ContentHash, Outcome, Purged, purge};

use super::handlers::{
    apply, apply_elsewhere, fingerprinted, hashed, kept_30_days, nothing, record, skip,
    skip_no_more, version_1, version_2, version_forgotten,
};
use super::{Conn, KEY, bytes, claims, outbox_rows, start};
use crate::model::{Claim, Order, Refusal, Ticket, end, refused, refused_before};

/// The row of a delivery that returned its receipt.
fn claim_of(scope: &str, order: &Order) -> Claim {
    Claim {
        scope: scope.into(),
        key: format!("02{}", hex::encode(&order.id)),
        fingerprint: None,
        state: 1,
        result_version: 1,
        result: Some(format!(
            r#"{{"order":"{}","cents":{},"note":null}}"#,
            order.id, order.cents
        )),
        kept_hours: None,
    }
}

#[tokio::test]
async fn the_first_delivery_executes_and_every_later_one_gets_its_result() {
    let db = start().await;
    let order = Order::new("o");
    assert_eq!(
        end(apply(&db.pool, &order).await),
        Ok(Outcome::Executed(order.receipt()))
    );
    // More than enough to have the runtime ask before it claims.
    for _ in 0..12 {
        assert_eq!(
            end(apply(&db.pool, &Order::of("o", 7)).await),
            Ok(Outcome::Replayed(order.receipt()))
        );
    }
    assert_eq!(
        end(apply(&db.pool, &Order::new("p")).await),
        Ok(Outcome::Executed(Order::new("p").receipt()))
    );
    assert_eq!(db.effects().await, ["o", "p"]);
    assert_eq!(
        claims(&db).await,
        [
            claim_of("contract.apply", &order),
            claim_of("contract.apply", &Order::new("p"))
        ]
    );
}

#[tokio::test]
async fn a_pool_a_pooled_connection_and_a_connection_are_the_same_to_a_delivery() {
    let db = start().await;
    let order = Order::new("o");
    let replayed = Ok(Outcome::Replayed(order.receipt()));
    let mut pooled = db.pool.acquire().await.unwrap();
    assert_eq!(
        end(apply(&mut pooled, &order).await),
        Ok(Outcome::Executed(order.receipt()))
    );
    assert_eq!(end(apply(&mut pooled, &order).await), replayed);
    let bare: &mut Conn = &mut pooled;
    assert_eq!(end(apply(&mut *bare, &order).await), replayed);
    let next = Order::new("p");
    assert_eq!(
        end(apply(&mut *bare, &next).await),
        Ok(Outcome::Executed(next.receipt()))
    );
    let fails = Order::refused("r", Refusal::Busy);
    assert_eq!(end(apply(&mut *bare, &fails).await), refused(Refusal::Busy));
    assert!(
        apply(&mut *bare, &Order::new("r"))
            .await
            .unwrap()
            .is_executed()
    );
    // The connection is outside of every transaction: what begins on it now is its own.
    let tx = sqlx::Connection::begin(bare).await.unwrap();
    tx.rollback().await.unwrap();
    drop(pooled);
    assert_eq!(end(apply(&db.pool, &order).await), replayed);
    assert_eq!(end(apply(db.pool.clone(), &order).await), replayed);
    let last = Order::new("q");
    assert_eq!(
        end(apply(db.pool.clone(), &last).await),
        Ok(Outcome::Executed(last.receipt()))
    );
    assert_eq!(db.effects().await, ["o", "p", "q", "r"]);
}

#[tokio::test]
async fn scopes_are_compared_byte_for_byte() {
    let db = start().await;
    let order = Order::new("o");
    for _ in 0..2 {
        let first = db.effects().await.is_empty();
        for result in [
            apply(&db.pool, &order).await,
            apply_elsewhere(&db.pool, &order).await,
        ] {
            let receipt = order.receipt();
            let expected = if first {
                Outcome::Executed(receipt)
            } else {
                Outcome::Replayed(receipt)
            };
            assert_eq!(end(result), Ok(expected));
        }
    }
    assert_eq!(db.effects().await, ["o", "o"]);
    assert_eq!(
        claims(&db).await,
        [
            claim_of("contract.APPLY", &order),
            claim_of("contract.apply", &order)
        ]
    );
}

#[tokio::test]
async fn a_handlers_error_leaves_nothing() {
    let db = start().await;
    for refusal in [Refusal::Closed, Refusal::Busy] {
        assert_eq!(
            end(apply(&db.pool, &Order::refused("o", refusal)).await),
            refused(refusal)
        );
    }
    assert_eq!((db.effects().await, claims(&db).await), (vec![], vec![]));
    let order = Order::new("o");
    assert_eq!(
        end(apply(&db.pool, &order).await),
        Ok(Outcome::Executed(order.receipt()))
    );
}

#[tokio::test]
async fn skip_stores_nothing_and_is_never_taken_for_a_result() {
    let db = start().await;
    let order = Order::new("o");
    assert_eq!(
        end(skip(&db.pool, &order).await),
        Ok(Outcome::Executed(Ticket("o".into())))
    );
    assert_eq!(end(skip(&db.pool, &order).await), Ok(Outcome::Replayed(())));
    assert_eq!(
        end(skip_no_more(&db.pool, &order).await),
        Err("ResultUndecodable".into())
    );
    assert_eq!(db.effects().await, ["o"]);
    assert_eq!(
        claims(&db).await,
        [Claim {
            state: 3,
            result: None,
            ..claim_of("contract.skip", &order)
        }]
    );
}

#[tokio::test]
async fn a_result_that_is_null_is_a_result() {
    let db = start().await;
    let order = Order::new("o");
    assert_eq!(
        end(nothing(&db.pool, &order).await),
        Ok(Outcome::Executed(None))
    );
    assert_eq!(
        end(nothing(&db.pool, &order).await),
        Ok(Outcome::Replayed(None))
    );
    assert_eq!(
        claims(&db).await,
        [Claim {
            result: None,
            ..claim_of("contract.nothing", &order)
        }]
    );
}

#[tokio::test]
async fn a_permanent_error_is_recorded_without_its_effects_and_a_transient_one_is_not() {
    let db = start().await;
    assert_eq!(
        end(record(&db.pool, &Order::refused("o", Refusal::Busy)).await),
        refused(Refusal::Busy)
    );
    assert_eq!(claims(&db).await, []);
    assert_eq!(
        end(record(&db.pool, &Order::refused("o", Refusal::Closed)).await),
        refused(Refusal::Closed)
    );
    // The stored error, whatever this delivery would do.
    assert_eq!(
        end(record(&db.pool, &Order::new("o")).await),
        refused_before(Refusal::Closed)
    );
    assert_eq!(db.effects().await, Vec::<String>::new());
    assert_eq!(
        claims(&db).await,
        [Claim {
            state: 2,
            result: Some(r#""Closed""#.into()),
            ..claim_of("contract.record", &Order::new("o"))
        }]
    );
    let order = Order::new("p");
    assert_eq!(
        end(record(&db.pool, &order).await),
        Ok(Outcome::Executed(order.receipt()))
    );
    assert_eq!(db.effects().await, ["p"]);
}

#[tokio::test]
async fn the_same_key_with_another_fingerprint_is_an_error() {
    let db = start().await;
    let order = Order::of("o", 1);
    assert_eq!(
        end(fingerprinted(&db.pool, &order).await),
        Ok(Outcome::Executed(order.receipt()))
    );
    assert_eq!(
        end(fingerprinted(&db.pool, &Order::of("o", 2)).await),
        Err("FingerprintMismatch".into())
    );
    assert_eq!(
        end(fingerprinted(&db.pool, &order).await),
        Ok(Outcome::Replayed(order.receipt()))
    );
    assert_eq!(db.effects().await, ["o"]);
    assert_eq!(
        claims(&db).await,
        [Claim {
            fingerprint: Some("0231".into()),
            ..claim_of("contract.fingerprint", &order)
        }]
    );
}

#[tokio::test]
async fn a_stored_result_that_cant_be_read_is_an_error_and_never_an_execution() {
    let db = start().await;
    let order = Order::new("o");
    assert_eq!(
        end(version_1(&db.pool, &order).await),
        Ok(Outcome::Executed(order.receipt()))
    );
    assert_eq!(
        end(version_2(&db.pool, &order).await),
        Err("ResultUndecodable".into())
    );
    assert_eq!(
        end(version_forgotten(&db.pool, &order).await),
        Err("ResultUndecodable".into())
    );
    assert_eq!(
        end(version_1(&db.pool, &order).await),
        Ok(Outcome::Replayed(order.receipt()))
    );
    let next = Order::new("p");
    assert_eq!(
        end(version_2(&db.pool, &next).await),
        Ok(Outcome::Executed(next.receipt()))
    );
    assert_eq!(
        end(version_1(&db.pool, &next).await),
        Err("ResultUndecodable".into())
    );
    assert_eq!(db.effects().await, ["o", "p"]);
    assert_eq!(
        claims(&db).await,
        [
            claim_of("contract.versions", &order),
            Claim {
                result_version: 2,
                ..claim_of("contract.versions", &next)
            }
        ]
    );
}

#[tokio::test]
async fn hash_key_stores_neither_key_nor_fingerprint() {
    let db = start().await;
    let order = Order::of("jane@example.org", 4_711);
    assert_eq!(
        end(hashed(&db.pool, &order).await),
        Ok(Outcome::Executed(order.receipt()))
    );
    assert_eq!(
        end(hashed(&db.pool, &order).await),
        Ok(Outcome::Replayed(order.receipt()))
    );
    assert_eq!(
        end(hashed(&db.pool, &Order::of("jane@example.org", 1)).await),
        Err("FingerprintMismatch".into())
    );
    let sha256 = |text: &str| {
        let hash = ContentHash::of([b"\x02", text.as_bytes()].concat());
        hex::encode(hash.as_bytes())
    };
    let key = sha256("jane@example.org");
    assert_eq!(
        claims(&db).await,
        [Claim {
            key: format!("05{key}"),
            fingerprint: Some(format!("05{}", sha256("4711"))),
            ..claim_of("contract.hashed", &order)
        }]
    );
    let emitted = outbox_rows(&db).await;
    assert_eq!(
        emitted
            .iter()
            .map(|event| event.headers.as_str())
            .collect::<Vec<_>>(),
        [format!(r#"{{"causation":"{key}"}}"#)]
    );
}

#[tokio::test]
async fn retention_is_recorded_and_purge_makes_an_expired_key_new_again() {
    let db = start().await;
    let (old, young) = (Order::new("old"), Order::new("young"));
    for order in [&old, &young] {
        assert_eq!(
            end(kept_30_days(&db.pool, order).await),
            Ok(Outcome::Executed(order.receipt()))
        );
    }
    let forever = Order::new("forever");
    assert_eq!(
        end(apply(&db.pool, &forever).await),
        Ok(Outcome::Executed(forever.receipt()))
    );
    let kept = |order: &Order| Claim {
        kept_hours: Some(30 * 24),
        ..claim_of("contract.kept", order)
    };
    assert_eq!(
        claims(&db).await,
        [
            claim_of("contract.apply", &forever),
            kept(&old),
            kept(&young)
        ]
    );
    assert_eq!(purge(&db.pool).await.unwrap(), Purged::default());

    db.execute(&format!(
        "UPDATE idem_keys SET expires_at = created_at WHERE {KEY} = {}",
        bytes(&kept(&old).key)
    ))
    .await;
    let mut one = Purged::default();
    one.keys = 1;
    assert_eq!(purge(&db.pool).await.unwrap(), one);
    assert_eq!(purge(&db.pool).await.unwrap(), Purged::default());
    assert_eq!(
        claims(&db).await,
        [claim_of("contract.apply", &forever), kept(&young)]
    );
    assert_eq!(
        end(kept_30_days(&db.pool, &old).await),
        Ok(Outcome::Executed(old.receipt()))
    );
    assert_eq!(
        end(kept_30_days(&db.pool, &young).await),
        Ok(Outcome::Replayed(young.receipt()))
    );
}
