//! Many deliveries in one transaction: batch handlers, and ordinary ones in a batch.

use std::fmt::Debug;
use std::sync::Arc;

use idem_runtime::{BatchEntry, Error, Handler, Outcome, Received};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::batch_handlers::{
    ApplyAll, ApplyOne, Envelopes, PlaceOne, apply_all, apply_one, envelopes, meet_all,
    meet_all_soon, one_too_few, place_all, place_one, record_all, tenants,
};
use super::handlers::{begin, effect};
use super::{Db, WAITS_FOR_KEYS, another_pool, claims, empty, outbox_rows, start};
use crate::model::{Emitted, Meeting, Order, Receipt, Refusal, end, refused_before};

type End<T, R> = Result<Outcome<T, R>, String>;

/// Each entry, errors by their text.
fn ends<T, R, E: Debug>(
    entries: Result<Vec<BatchEntry<T, R, E>>, Error<E>>,
) -> Result<Vec<End<T, R>>, String> {
    let entries = entries.map_err(|error| format!("{error:?}"))?;
    Ok(entries.into_iter().map(end).collect())
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "compared with what a call returns"
)]
fn executed(order: &Order) -> End<Receipt, Receipt> {
    Ok(Outcome::Executed(order.receipt()))
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "compared with what a call returns"
)]
fn replayed(order: &Order) -> End<Receipt, Receipt> {
    Ok(Outcome::Replayed(order.receipt()))
}

async fn effects(db: &Db) -> Vec<String> {
    let mut effects = db.effects().await;
    effects.sort();
    effects
}

async fn assert_nothing_is_left(db: &Db) {
    assert_eq!(db.effects().await, [""; 0]);
    assert_eq!((claims(db).await, outbox_rows(db).await), (vec![], vec![]));
}

#[tokio::test]
async fn an_event_is_handled_once_and_what_is_known_of_it_is_its_own_entry() {
    let db = start().await;
    let [a, b, c, d] = ["a", "b", "c", "d"].map(Order::new);
    assert_eq!(
        ends(apply_all(&db.pool, &[&b, &a]).await),
        Ok(vec![executed(&b), executed(&a)])
    );
    let another_b = Order::of("b", 7);
    let another_d = Order::of("d", 7);
    let unnamed = Order::new("");
    let entries = apply_all(
        &db.pool,
        &[&d, &b, &unnamed, &c, &another_b, &d, &another_d],
    )
    .await;
    assert_eq!(
        ends(entries),
        Ok(vec![
            executed(&d),
            replayed(&b),
            Err("EmptyKey".into()),
            executed(&c),
            Err("FingerprintMismatch".into()),
            replayed(&d),
            Err("FingerprintMismatch".into()),
        ])
    );
    assert_eq!(effects(&db).await, ["a", "b", "c", "d"]);
    // One delivery by itself finds what a batch stored, and the other way round.
    assert_eq!(end(apply_one(&db.pool, &c).await), replayed(&c));
    let single = Order::new("e");
    assert_eq!(end(apply_one(&db.pool, &single).await), executed(&single));
    assert_eq!(
        ends(apply_all(&db.pool, &[&single, &unnamed]).await),
        Ok(vec![replayed(&single), Err("EmptyKey".into())])
    );
    assert_eq!(
        ends(apply_all(&db.pool, &[&unnamed]).await),
        Ok(vec![Err("EmptyKey".into())])
    );
    assert_eq!(ends(apply_all(&db.pool, &[]).await), Ok(vec![]));
    db.assert_no_open_transaction().await;
}

/// Guards: what is committed of a batch is all of it or nothing.
#[tokio::test]
async fn an_error_of_the_body_leaves_nothing_of_the_batch() {
    let db = start().await;
    let poison = Order::refused("p", Refusal::Busy);
    let (a, b) = (Order::new("a"), Order::new("b"));
    let refused = ends(apply_all(&db.pool, &[&a, &poison, &b]).await);
    assert!(
        refused.as_ref().is_err_and(|error| error.contains("Busy")),
        "{refused:?}"
    );
    assert_nothing_is_left(&db).await;
    let short = ends(one_too_few(&db.pool, &[&a, &b]).await);
    assert_eq!(short, Err("BatchLength { events: 2, results: 1 }".into()));
    assert_nothing_is_left(&db).await;
    assert_eq!(
        ends(apply_all(&db.pool, &[&a, &b]).await),
        Ok(vec![executed(&a), executed(&b)])
    );
    db.assert_no_open_transaction().await;
}

/// Guards: nobody knows whose the error of a batch is; that of a batch of one is its own.
#[tokio::test]
async fn a_permanent_error_is_recorded_of_an_event_that_is_alone() {
    let db = start().await;
    let closed = Order::refused("c", Refusal::Closed);
    let a = Order::new("a");
    let refused = ends(record_all(&db.pool, &[&a, &closed]).await);
    assert!(
        refused
            .as_ref()
            .is_err_and(|error| error.contains("Closed")),
        "{refused:?}"
    );
    assert_nothing_is_left(&db).await;
    let alone = ends(record_all(&db.pool, &[&closed]).await);
    assert_eq!(
        alone,
        Ok(vec![Err(
            "Handler { error: Closed, replayed: false }".into()
        )])
    );
    assert_eq!(db.effects().await, [""; 0]);
    assert_eq!(
        ends(record_all(&db.pool, &[&a, &closed]).await),
        Ok(vec![executed(&a), refused_before(Refusal::Closed)])
    );
    assert_eq!(db.effects().await, ["a"]);
}

/// Guards: the ID of an event depends on its own message, and not on those that were with it.
#[tokio::test]
async fn events_are_the_same_alone_and_in_every_batch() {
    let db = start().await;
    let orders = ["a", "b", "c"].map(Order::new);
    let [a, b, c] = &orders;
    let of_all = async |how: u32| -> Vec<Emitted> {
        db.execute("DELETE FROM idem_keys").await;
        db.execute("DELETE FROM idem_outbox").await;
        match how {
            0 => {
                let placed = place_all(&db.pool, &[a, b, c, a]).await.unwrap();
                assert!(placed.iter().all(Result::is_ok));
            }
            1 => {
                place_all(&db.pool, &[c, a]).await.unwrap();
                place_all(&db.pool, &[b, a]).await.unwrap();
            }
            2 => {
                for order in &orders {
                    assert!(place_one(&db.pool, order).await.unwrap().is_executed());
                }
            }
            _ => {
                let received: Vec<_> = orders.clone().map(|order| Received::new("m", order)).into();
                let received: Vec<_> = received.iter().collect();
                PlaceOne::call_batch(&db.pool, &received, &())
                    .await
                    .unwrap();
            }
        }
        let mut emitted = outbox_rows(&db).await;
        assert_eq!(emitted.len(), 6);
        if how == 0 {
            let keys: Vec<_> = emitted.iter().map(|event| event.key.as_deref()).collect();
            let in_order = ["c", "c", "b", "b", "a", "a"].map(Some);
            assert_eq!(keys, in_order, "the order in which they were emitted");
        }
        emitted.sort_by(|left, right| left.id.cmp(&right.id));
        emitted
    };
    let once = of_all(0).await;
    for how in 1..4 {
        assert_eq!(of_all(how).await, once, "{how}");
    }
}

/// Guards: an ordinary handler in a batch is claimed and ended by the batch, and its body is its own.
#[tokio::test]
async fn ordinary_handlers_share_a_transaction_and_each_gets_its_own_outcome() {
    let db = start().await;
    let deliver = async |orders: &[&Order]| {
        let received: Vec<_> = orders
            .iter()
            .map(|order| Received::new("m", (*order).clone()))
            .collect();
        let received: Vec<_> = received.iter().collect();
        ends(ApplyOne::call_batch(&db.pool, &received, &()).await)
    };
    let [a, b, c, unnamed] = ["a", "b", "c", ""].map(Order::new);
    assert_eq!(
        deliver(&[&a, &b, &a, &unnamed]).await,
        Ok(vec![
            executed(&a),
            executed(&b),
            replayed(&a),
            Err("EmptyKey".into())
        ])
    );
    let poison = Order::refused("p", Refusal::Busy);
    let refused = deliver(&[&c, &a, &poison]).await;
    assert!(
        refused.as_ref().is_err_and(|error| error.contains("Busy")),
        "{refused:?}"
    );
    assert_eq!(effects(&db).await, ["a", "b"]);
    // Nothing is new.
    assert_eq!(
        deliver(&[&b, &unnamed, &a]).await,
        Ok(vec![replayed(&b), Err("EmptyKey".into()), replayed(&a)])
    );
    assert_eq!(deliver(&[&unnamed]).await, Ok(vec![Err("EmptyKey".into())]));
    let another_a = Order::of("a", 7);
    assert_eq!(
        deliver(&[&another_a, &c, &b]).await,
        Ok(vec![
            Err("FingerprintMismatch".into()),
            executed(&c),
            replayed(&b)
        ])
    );
    assert_eq!(effects(&db).await, ["a", "b", "c"]);
    assert_eq!(
        ends(apply_all(&db.pool, &[&a, &c]).await),
        Ok(vec![replayed(&a), replayed(&c)])
    );
    db.assert_no_open_transaction().await;
}

#[tokio::test]
async fn a_batch_joins_the_transaction_of_its_caller() {
    let db = start().await;
    let (a, b) = (Order::new("a"), Order::new("b"));
    let mut tx = begin(&db.pool).await;
    effect(&mut tx, "caller").await.unwrap();
    let poison = Order::refused("p", Refusal::Busy);
    assert!(apply_all(&mut tx, &[&a, &poison]).await.is_err());
    assert_eq!(
        ends(apply_all(&mut tx, &[&a, &b]).await),
        Ok(vec![executed(&a), executed(&b)])
    );
    assert_eq!(
        ends(apply_all(&mut tx, &[&b]).await),
        Ok(vec![replayed(&b)])
    );
    tx.rollback().await.unwrap();
    assert_nothing_is_left(&db).await;
    let mut tx = begin(&db.pool).await;
    let placed = ends(place_all(&mut tx, &[&a, &b]).await).unwrap();
    assert_eq!(
        placed,
        [Ok(Outcome::Executed(())), Ok(Outcome::Executed(()))]
    );
    tx.commit().await.unwrap();
    assert_eq!(effects(&db).await, ["a", "b"]);
    assert_eq!(outbox_rows(&db).await.len(), 4);
    assert_eq!(
        ends(place_all(&db.pool, &[&b]).await),
        Ok(vec![Ok(Outcome::Replayed(()))])
    );
    db.assert_no_open_transaction().await;
}

/// Guards: a batch handler is a handler like any other, of one delivery or many.
#[tokio::test]
async fn a_batch_handler_is_called_by_its_type() {
    let db = start().await;
    let received = ["a", "b"].map(|id| Received::new(id, Order::new(id)));
    let [a, b] = &received;
    let one = ApplyAll::call(&db.pool, a, &()).await;
    assert_eq!(end(one), executed(&a.data));
    let both = ApplyAll::call_batch(&db.pool, &[b, a], &()).await;
    assert_eq!(ends(both), Ok(vec![executed(&b.data), replayed(&a.data)]));
    assert!(ApplyAll::identity(a, &()) == ApplyOne::identity(a, &()));
    let ids = ends(Envelopes::call_batch(&db.pool, &[a, b], &()).await);
    let named = |id: &str| Ok(Outcome::Executed(id.to_owned()));
    assert_eq!(ids, Ok(vec![named("a"), named("b")]));
    let again = ends(envelopes(&db.pool, &[b]).await);
    assert_eq!(again, Ok(vec![Ok(Outcome::Replayed("b".to_owned()))]));
    const {
        assert!(ApplyAll::BATCH && !ApplyOne::BATCH);
    }
    db.assert_no_open_transaction().await;
}

/// With fifty keys an order that differs between batches does not show.
///
/// Guards: keys are claimed in one order, whatever the order of the deliveries.
#[tokio::test]
async fn batches_that_overlap_in_many_keys_handle_each_event_once() {
    let db = empty(8).await;
    db.migrate().await;
    db.execute("CREATE TABLE effects (id VARCHAR(64) NOT NULL)")
        .await;
    let orders: Arc<Vec<Order>> =
        Arc::new((0..1_200).map(|n| Order::new(&format!("{n:04}"))).collect());
    let mut workers = JoinSet::new();
    for worker in 0..4_usize {
        let (pool, orders) = (db.pool.clone(), Arc::clone(&orders));
        workers.spawn(async move {
            let mut executed = 0;
            // Each goes through all of them, in an order of its own.
            let step = [7, 11, 13, 1_199][worker];
            let mine: Vec<_> = (0..orders.len())
                .map(|n| &orders[(n * step + worker * 300) % orders.len()])
                .collect();
            for batch in mine.chunks(300) {
                let tenant = "t".to_owned();
                let entries = loop {
                    // On SQLite a writer holds all others up.
                    match tenants(&pool, batch, tenant.clone()).await {
                        Err(Error::InFlight | Error::Store(_)) => {}
                        ended => break ended.unwrap(),
                    }
                };
                executed += entries
                    .iter()
                    .filter(|entry| matches!(entry, Ok(outcome) if outcome.is_executed()))
                    .count();
            }
            executed
        });
    }
    let executed: usize = workers.join_all().await.into_iter().sum();
    assert_eq!(executed, 1_200);
    let mut effects = effects(&db).await;
    effects.dedup();
    assert_eq!(effects.len(), 1_200);
    assert_eq!(db.effects().await.len(), 1_200);
    db.assert_no_open_transaction().await;
}

/// Guards: `in_flight` bounds the wait for all keys together.
#[tokio::test]
async fn a_batch_waits_for_the_keys_of_another_no_longer_than_it_may() {
    static FIRST: Meeting = Meeting::new();
    static SECOND: Meeting = Meeting::new();
    if !WAITS_FOR_KEYS {
        return;
    }
    let db = start().await;
    let hold = |id: &'static str, meeting: &'static Meeting| {
        let pool = db.pool.clone();
        tokio::spawn(async move { ends(meet_all(&pool, &[&Order::new(id)], meeting).await) })
    };
    let holders = [hold("a", &FIRST), hold("c", &SECOND)];
    FIRST.has_arrived().await;
    SECOND.has_arrived().await;
    let elsewhere = another_pool(&db).await;
    let [a, b, c] = ["a", "b", "c"].map(Order::new);
    let started = Instant::now();
    let waited = ends(meet_all_soon(&elsewhere, &[&c, &b, &a]).await);
    assert_eq!(waited, Err("InFlight".into()));
    let waited = started.elapsed().as_secs_f32();
    assert!((0.9..1.9).contains(&waited), "{waited} s");
    FIRST.let_go_on();
    SECOND.let_go_on();
    for (holder, order) in holders.into_iter().zip([&a, &c]) {
        assert_eq!(holder.await.unwrap(), Ok(vec![executed(order)]));
    }
    assert_eq!(
        ends(meet_all_soon(&elsewhere, &[&c, &b, &a]).await),
        Ok(vec![replayed(&c), executed(&b), replayed(&a)])
    );
    db.assert_no_open_transaction().await;
}
