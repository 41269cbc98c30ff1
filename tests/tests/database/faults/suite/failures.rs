//! Handlers that fail: by an error of their own, by a panic.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use idem_runtime::{Error, Outcome, idempotent};

use super::{Conn, Deed, Order, apply, claims, effects, perform, sql, start};

/// Guards: the guard closes the connection of a call that is dropped before its end.
#[tokio::test]
async fn a_panic_in_the_body_leaves_nothing() {
    let db = start(2).await;
    for _ in 0..5 {
        let order = Order::new("o", [Deed::Panic]);
        let caught = AssertUnwindSafe(apply(&db.pool, &order))
            .catch_unwind()
            .await;
        assert!(caught.is_err());
    }
    assert_eq!(
        (effects(&db.pool, "o").await, claims(&db.pool).await),
        (0, 0)
    );
    assert_eq!(
        apply(&db.pool, &Order::plain("o")).await.unwrap(),
        Outcome::Executed(7)
    );
    db.assert_no_open_transaction().await;
}

/// Guards: a conflict is recognised by our own claim alone, never by the class of an error.
#[tokio::test]
async fn a_users_own_unique_violation_is_no_duplicate() {
    let db = start(4).await;
    sql(
        &mut db.pool.acquire().await.unwrap(),
        "INSERT INTO uniques (id) VALUES (1)",
    )
    .await
    .unwrap();
    let violate = Order::new("o", [Deed::Sql("INSERT INTO uniques (id) VALUES (1)")]);
    let failed = apply(&db.pool, &violate).await;
    let Err(Error::Handler {
        error: sqlx::Error::Database(error),
        ..
    }) = failed
    else {
        panic!("{failed:?}");
    };
    assert!(error.is_unique_violation(), "{error:?}");
    assert_eq!(
        (effects(&db.pool, "o").await, claims(&db.pool).await),
        (0, 0)
    );
}

/// Guards: the guard is armed for the whole call, also after it has asked first because its scope
/// sees many duplicates.
#[tokio::test]
async fn a_failure_after_a_storm_of_duplicates_leaves_nothing() {
    #[idempotent(key = "order.id", scope = "laws.stormy")]
    async fn stormy(tx: &mut Conn, order: &Order) -> Result<i64, sqlx::Error> {
        perform(tx, order).await
    }
    let db = start(2).await;
    for _ in 0..10 {
        let outcome = stormy(&db.pool, &Order::plain("stormy")).await.unwrap();
        assert_eq!(outcome.into_inner(), 7);
    }
    let mut conn = db.pool.acquire().await.unwrap();
    let failed = stormy(&mut *conn, &Order::new("a", [Deed::Fail])).await;
    assert!(matches!(failed, Err(Error::Handler { .. })), "{failed:?}");
    drop(conn);
    let failed = stormy(&db.pool, &Order::new("b", [Deed::Fail])).await;
    assert!(matches!(failed, Err(Error::Handler { .. })), "{failed:?}");
    db.assert_no_open_transaction().await;
    assert_eq!(
        (effects(&db.pool, "a").await, effects(&db.pool, "b").await),
        (0, 0)
    );
    for id in ["a", "b"] {
        assert_eq!(
            stormy(&db.pool, &Order::plain(id)).await.unwrap(),
            Outcome::Executed(7)
        );
    }
}
