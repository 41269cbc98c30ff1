//! A single event whose ID is in the outbox already, from an execution that the keys have
//! forgotten.

use idem_runtime::{Disposition, Error, Outcome};

use super::handlers::{apply, begin, returned};
use super::{outbox_rows, start};
use crate::model::Order;

/// Guards: the statement that writes one event compares it with the one that is there.
#[tokio::test]
async fn one_event_that_differs_from_an_earlier_one_fails_its_call() {
    let db = start().await;
    let (order, other) = (Order::of("o", 1), Order::of("o", 2));
    let executed = Outcome::Executed(order.receipt());
    assert_eq!(returned(&db.pool, &order).await.unwrap(), executed);
    let first = outbox_rows(&db).await;
    assert_eq!(first.len(), 1);
    db.execute("DELETE FROM idem_keys").await;
    let conflict = returned(&db.pool, &other).await.unwrap_err();
    assert!(matches!(conflict, Error::EventConflict), "{conflict:?}");
    assert_eq!(conflict.disposition(), Disposition::DeadLetter);
    let mut conn = db.pool.acquire().await.unwrap();
    let conflict = returned(&mut conn, &other).await;
    assert!(
        matches!(conflict, Err(Error::EventConflict)),
        "{conflict:?}"
    );
    let mut tx = begin(&db.pool).await;
    let conflict = returned(&mut tx, &other).await;
    assert!(
        matches!(conflict, Err(Error::EventConflict)),
        "{conflict:?}"
    );
    // The caller's transaction goes on.
    let beside = Order::new("beside");
    assert!(apply(&mut tx, &beside).await.unwrap().is_executed());
    tx.commit().await.unwrap();
    assert_eq!(outbox_rows(&db).await, first);
    assert_eq!(db.effects().await, ["beside", "o"]);
    // The same event is no conflict, and the effect is made once more, as after a purge.
    assert_eq!(returned(&db.pool, &order).await.unwrap(), executed);
    assert_eq!(outbox_rows(&db).await, first);
}
