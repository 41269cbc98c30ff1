//! Transactions: whose they are, and what becomes of a call whose transaction is lost.

use std::sync::Arc;

use idem_runtime::{Error, Outbox, Outcome, idempotent, outbox};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{
    BREAK_CONNECTION, Conn, DEADLOCK, Deed, Order, Pool, apply, claims, count, effects, perform,
    start,
};

#[idempotent(key = "order.id", scope = "laws.retried", retry = 5)]
async fn retried(tx: &mut Conn, order: &Order) -> Result<i64, sqlx::Error> {
    perform(tx, order).await
}

#[derive(serde::Serialize, serde::Deserialize, idem_runtime::Event)]
#[event(topic = "laws.done", key = "id")]
pub(super) struct Done {
    pub(super) id: String,
}

#[outbox]
async fn keyless(
    tx: &mut Conn,
    outbox: &mut Outbox<Done>,
    order: &Order,
) -> Result<i64, sqlx::Error> {
    outbox.emit(&Done {
        id: order.id.clone(),
    });
    perform(tx, order).await
}

pub(super) async fn events(pool: &Pool) -> i64 {
    count(pool, "SELECT count(*) FROM idem_outbox").await
}

#[idempotent(key = "order.id", scope = "laws.batch", batch = "order in orders")]
async fn batch(tx: &mut Conn, orders: &[&Order]) -> Result<Vec<i64>, sqlx::Error> {
    let mut done = Vec::new();
    for order in orders {
        done.push(perform(tx, order).await?);
    }
    Ok(done)
}

/// Guards: nobody knows the end of a batch whose connection broke, and its repetition is right.
#[tokio::test]
async fn a_batch_whose_connection_breaks_before_its_end_is_unknown_and_comes_again() {
    let Some(break_connection) = BREAK_CONNECTION else {
        return;
    };
    let db = start(2).await;
    let breaks = Order::new("b", [Deed::Swallowed(break_connection)]);
    let (a, b) = (Order::plain("a"), Order::plain("b"));
    let unknown = batch(&db.pool, &[&a, &breaks]).await;
    assert!(matches!(unknown, Err(Error::CommitUnknown)), "{unknown:?}");
    assert_eq!(claims(&db.pool).await, 0);
    for executed in [true, false] {
        let entries = batch(&db.pool, &[&b, &a]).await.unwrap();
        let as_expected = |entry: &Result<idem_runtime::Outcome<_>, _>| {
            entry
                .as_ref()
                .is_ok_and(|outcome| outcome.is_executed() == executed)
        };
        assert!(entries.iter().all(as_expected), "{entries:?}");
    }
    for id in ["a", "b"] {
        assert_eq!(effects(&db.pool, id).await, 1);
    }
}

/// Guards: where the connection broke, a call that commits can't know its end; one that leaves the
/// COMMIT to its caller does: that COMMIT can't succeed.
#[tokio::test]
async fn a_connection_that_breaks_before_the_end_leaves_it_unknown_unless_the_caller_commits() {
    let Some(break_connection) = BREAK_CONNECTION else {
        return;
    };
    let db = start(2).await;
    let order = Order::new("o", [Deed::Swallowed(break_connection)]);
    let own = apply(&db.pool, &order).await;
    assert!(matches!(own, Err(Error::CommitUnknown)), "{own:?}");
    let mut tx = db.pool.begin().await.unwrap();
    let joined = apply(&mut tx, &order).await;
    assert!(matches!(joined, Err(Error::Store(_))), "{joined:?}");
    assert!(tx.commit().await.is_err());
    assert_eq!(
        (effects(&db.pool, "o").await, claims(&db.pool).await),
        (0, 0)
    );
    let again = apply(&db.pool, &Order::plain("o")).await;
    assert!(again.unwrap().is_executed());
}

/// Guards: the claim is a savepoint's, so that a nested handler's failure takes back its own effect
/// and nothing else.
#[tokio::test]
async fn nested_handlers_share_the_callers_transaction() {
    let db = start(4).await;
    let mut tx = db.pool.begin().await.unwrap();
    assert_eq!(
        apply(&mut tx, &Order::plain("a")).await.unwrap(),
        Outcome::Executed(7)
    );
    assert_eq!(
        apply(&mut tx, &Order::plain("a")).await.unwrap(),
        Outcome::Replayed(7)
    );
    let failed = apply(&mut tx, &Order::new("b", [Deed::Fail])).await;
    assert!(matches!(failed, Err(Error::Handler { .. })), "{failed:?}");
    let leaked = apply(&mut tx, &Order::new("c", [Deed::LeakNested])).await;
    assert!(matches!(leaked, Err(Error::RolledBack)), "{leaked:?}");
    assert_eq!(
        apply(&mut tx, &Order::plain("d")).await.unwrap(),
        Outcome::Executed(7)
    );
    tx.commit().await.unwrap();
    let mut found = Vec::new();
    for id in ["a", "b", "c", "d"] {
        found.push(effects(&db.pool, id).await);
    }
    assert_eq!(found, [1, 0, 0, 1]);
    assert_eq!(
        apply(&db.pool, &Order::plain("d")).await.unwrap(),
        Outcome::Replayed(7)
    );
    db.assert_no_open_transaction().await;
}

/// Guards: without a key the fence is a savepoint; events and effect are there both or not at all.
#[tokio::test]
async fn an_outbox_without_a_key_is_fenced_too() {
    let db = start(4).await;
    assert_eq!(keyless(&db.pool, &Order::plain("ok")).await.unwrap(), 7);
    assert_eq!(
        (effects(&db.pool, "ok").await, events(&db.pool).await),
        (1, 1)
    );
    for deeds in [
        vec![Deed::Sql("ROLLBACK")],
        vec![Deed::Sql("ROLLBACK"), Deed::Sql("BEGIN")],
        vec![Deed::Sql("COMMIT")],
        vec![Deed::Sql("COMMIT"), Deed::Sql("BEGIN")],
        vec![Deed::LeakNested],
    ] {
        let lost = keyless(&db.pool, &Order::new("lost", deeds.clone())).await;
        assert!(
            matches!(lost, Err(Error::RolledBack)),
            "{deeds:?}: {lost:?}"
        );
        assert_eq!(events(&db.pool).await, 1, "{deeds:?}");
    }
    let failed = keyless(&db.pool, &Order::new("failed", [Deed::Fail])).await;
    assert!(matches!(failed, Err(Error::Handler { .. })), "{failed:?}");
    assert_eq!(
        (effects(&db.pool, "failed").await, events(&db.pool).await),
        (0, 1)
    );
    db.assert_no_open_transaction().await;
}

/// Guards: a conflict that the database decides is met by another attempt on a fresh transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_in_the_body_are_retried_when_told_to() {
    let db = start(8).await;
    let Some([forward, backward]) = DEADLOCK else {
        return; // One writer at a time: nothing can conflict inside a body.
    };
    for round in 0..2 {
        let (here, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let mut calls = JoinSet::new();
        for (name, [first, second]) in [("f", forward), ("b", backward)] {
            let order = Order::new(
                &format!("{name}{round}"),
                [
                    Deed::Sql(first),
                    Deed::Meet(here.clone(), go_on.clone()),
                    Deed::Sql(second),
                ],
            );
            let pool = db.pool.clone();
            calls.spawn(async move { retried(&pool, &order).await.unwrap() });
        }
        // Both hold their first row; then each asks for the other's. The second attempt of the
        // loser meets nobody.
        here.acquire_many(2).await.unwrap().forget();
        go_on.add_permits(8);
        assert_eq!(
            calls.join_all().await,
            [Outcome::Executed(7), Outcome::Executed(7)]
        );
        assert_eq!(effects(&db.pool, &format!("f{round}")).await, 1);
        assert_eq!(effects(&db.pool, &format!("b{round}")).await, 1);
    }
    db.assert_no_open_transaction().await;
}
