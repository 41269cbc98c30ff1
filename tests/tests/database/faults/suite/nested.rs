//! Nested transactions that are dropped: their rollback is only queued when the next call or the
//! end of this one comes.

use idem_runtime::{Outbox, Outcome, idempotent, outbox};
use sqlx::Connection as _;
use tokio::sync::Notify;

use super::transactions::{Done, events};
use super::{Conn, Order, ROUNDS, apply, claims, count, effects, perform, sql, start};

/// What a handler does to the transaction that it nests.
#[derive(Clone, Copy, Debug)]
enum Nested {
    Dropped,
    DroppedInDropped,
    DroppedInCommitted,
    DroppedThenPending,
    LeakedThenPending,
}

#[idempotent(key = "id", scope = "laws.nests")]
async fn nests(
    tx: &mut Conn,
    id: &str,
    nested: Nested,
    pending: &Notify,
) -> Result<i64, sqlx::Error> {
    nest(tx, id, nested, pending).await
}

#[outbox]
async fn nests_keyless(
    tx: &mut Conn,
    outbox: &mut Outbox<Done>,
    id: &str,
    nested: Nested,
) -> Result<i64, sqlx::Error> {
    outbox.emit(&Done { id: id.into() });
    nest(tx, id, nested, &Notify::new()).await
}

async fn nest(
    tx: &mut Conn,
    id: &str,
    nested: Nested,
    pending: &Notify,
) -> Result<i64, sqlx::Error> {
    perform(tx, &Order::plain(id)).await?;
    let mut outer = tx.begin().await?;
    insert(&mut outer, "dropped").await?;
    match nested {
        Nested::Dropped => {}
        Nested::DroppedInDropped => {
            let mut inner = outer.begin().await?;
            insert(&mut inner, "dropped").await?;
        }
        Nested::DroppedInCommitted => {
            sql(&mut outer, "DELETE FROM effects WHERE id = 'dropped'").await?;
            let mut inner = outer.begin().await?;
            insert(&mut inner, "dropped").await?;
            drop(inner);
            outer.commit().await?;
            return Ok(7);
        }
        Nested::DroppedThenPending => {
            drop(outer);
            pending.notify_one();
            return std::future::pending().await;
        }
        Nested::LeakedThenPending => {
            std::mem::forget(outer);
            pending.notify_one();
            return std::future::pending().await;
        }
    }
    Ok(7)
}

async fn insert(conn: &mut Conn, id: &str) -> Result<(), sqlx::Error> {
    sql(conn, &format!("INSERT INTO effects (id) VALUES ('{id}')")).await
}

const WHOLE: [Nested; 3] = [
    Nested::Dropped,
    Nested::DroppedInDropped,
    Nested::DroppedInCommitted,
];

/// Guards: the depth is read once what was queued has run, so that a call which follows a dropped
/// transaction on the same connection opens its own and does not join one that is about to be
/// rolled back.
#[tokio::test]
async fn a_transaction_dropped_before_a_call_is_not_joined() {
    let db = start(2).await;
    let mut conn = db.pool.acquire().await.unwrap();
    for round in 0..ROUNDS {
        {
            let _dropped = conn.begin().await.unwrap();
        }
        let order = Order::plain(&format!("plain{round}"));
        assert_eq!(
            apply(&mut conn, &order).await.unwrap(),
            Outcome::Executed(7)
        );
        {
            let mut outer = conn.begin().await.unwrap();
            insert(&mut outer, "dropped").await.unwrap();
            let mut inner = outer.begin().await.unwrap();
            insert(&mut inner, "dropped").await.unwrap();
        }
        let order = Order::plain(&format!("nested{round}"));
        assert_eq!(
            apply(&mut *conn, &order).await.unwrap(),
            Outcome::Executed(7)
        );
        // A bystander sees each effect: it is committed.
        for name in ["plain", "nested"] {
            assert_eq!(effects(&db.pool, &format!("{name}{round}")).await, 1);
        }
    }
    drop(conn);
    assert_eq!(effects(&db.pool, "dropped").await, 0);
    db.assert_no_open_transaction().await;
}

/// Guards: the same for a call that joins, and for a transaction that is dropped between two of
/// them.
#[tokio::test]
async fn a_transaction_dropped_in_the_callers_own_is_not_joined() {
    let db = start(2).await;
    for round in 0..ROUNDS {
        let mut tx = db.pool.begin().await.unwrap();
        insert(&mut tx, &format!("before{round}")).await.unwrap();
        {
            let mut dropped = tx.begin().await.unwrap();
            insert(&mut dropped, "dropped").await.unwrap();
        }
        let order = Order::plain(&format!("joined{round}"));
        assert_eq!(apply(&mut tx, &order).await.unwrap(), Outcome::Executed(7));
        tx.commit().await.unwrap();
        for name in ["before", "joined"] {
            assert_eq!(effects(&db.pool, &format!("{name}{round}")).await, 1);
        }
    }
    assert_eq!(effects(&db.pool, "dropped").await, 0);
    db.assert_no_open_transaction().await;
}

/// Guards: whether all that the handler nested has ended is asked once what was queued has run.
#[tokio::test]
async fn a_handler_may_drop_what_it_nested() {
    let db = start(2).await;
    for round in 0..ROUNDS {
        for nested in WHOLE {
            let id = format!("{nested:?}{round}");
            let executed = nests(&db.pool, &id, nested, &Notify::new()).await;
            assert_eq!(executed.unwrap(), Outcome::Executed(7), "{id}");
            assert_eq!(effects(&db.pool, &id).await, 1, "{id}");
            let executed = nests_keyless(&db.pool, &id, nested).await;
            assert_eq!(executed.unwrap(), 7, "{id}");
            let joined = format!("joined.{id}");
            let mut tx = db.pool.begin().await.unwrap();
            let executed = nests(&mut tx, &joined, nested, &Notify::new()).await;
            assert_eq!(executed.unwrap(), Outcome::Executed(7), "{joined}");
            tx.commit().await.unwrap();
            assert_eq!(effects(&db.pool, &joined).await, 1, "{joined}");
        }
    }
    assert_eq!(effects(&db.pool, "dropped").await, 0);
    let all = i64::try_from(ROUNDS * WHOLE.len()).unwrap();
    assert_eq!(
        (claims(&db.pool).await, events(&db.pool).await),
        (2 * all, all)
    );
    db.assert_no_open_transaction().await;
}

/// Guards: a dropped call ends its own savepoint and what stands above it, and nothing of its
/// caller's, whether the handler's nested transaction was dropped, with its rollback still queued,
/// or leaked.
#[tokio::test]
async fn a_joined_call_dropped_after_its_nested_transaction_leaves_the_callers_work() {
    let db = start(2).await;
    for round in 0..ROUNDS {
        for nested in [Nested::DroppedThenPending, Nested::LeakedThenPending] {
            let name = format!("{nested:?}{round}");
            let mut tx = db.pool.begin().await.unwrap();
            insert(&mut tx, &format!("before.{name}")).await.unwrap();
            let pending = Notify::new();
            tokio::select! {
                biased;
                ended = nests(&mut tx, &name, nested, &pending) => panic!("{ended:?}"),
                () = pending.notified() => {}
            }
            insert(&mut tx, &format!("after.{name}")).await.unwrap();
            let next = apply(&mut tx, &Order::plain(&format!("next.{name}"))).await;
            assert_eq!(next.unwrap(), Outcome::Executed(7), "{name}");
            tx.commit().await.unwrap();
            for survivor in ["before", "after", "next"] {
                let id = format!("{survivor}.{name}");
                assert_eq!(effects(&db.pool, &id).await, 1, "{id}");
            }
            assert_eq!(effects(&db.pool, &name).await, 0, "{name}");
        }
    }
    assert_eq!(effects(&db.pool, "dropped").await, 0);
    db.assert_no_open_transaction().await;
}

/// Guards: the pool's next user finds an idle connection, whatever was dropped on it.
#[tokio::test]
async fn a_dropped_transaction_is_not_the_pools_next_users() {
    let db = start(1).await;
    let bystander = db.another_pool(4).await;
    for round in 0..ROUNDS {
        let id = format!("o{round}");
        {
            let mut conn = db.pool.acquire().await.unwrap();
            let mut dropped = conn.begin().await.unwrap();
            insert(&mut dropped, "dropped").await.unwrap();
        }
        insert(&mut db.pool.acquire().await.unwrap(), &id)
            .await
            .unwrap();
        assert_eq!(effects(&bystander, &id).await, 1, "{id}");
        assert_eq!(
            apply(&db.pool, &Order::plain(&id)).await.unwrap(),
            Outcome::Executed(7)
        );
        assert_eq!(effects(&bystander, &id).await, 2, "{id}");
    }
    assert_eq!(
        count(
            &bystander,
            "SELECT count(*) FROM effects WHERE id = 'dropped'"
        )
        .await,
        0
    );
    db.assert_no_open_transaction().await;
}
