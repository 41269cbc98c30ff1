//! A duplicate gets what the first delivery returned, or the first delivery fails.

use std::any::type_name;
use std::collections::{HashMap, HashSet};
use std::fmt::Debug;

use idem_runtime::{Classify, Disposition, Error, Outcome, idempotent};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::handlers::effect;
use super::{Conn, claims, start};
use crate::model::Refusal;

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Size {
    Short { a: u8 },
    Long { a: u8, b: u8 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Skipping {
    a: u8,
    #[serde(skip)]
    b: u8,
}

/// A permanent error that is whatever it is made of.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Declined<T> {
    With(T),
    Database,
}

impl<T> Classify for Declined<T> {
    fn disposition(&self) -> Disposition {
        Disposition::DeadLetter
    }
}

impl<T> From<Refusal> for Declined<T> {
    fn from(_: Refusal) -> Self {
        Self::Database
    }
}

#[idempotent(key = "id", scope = "fidelity.returning")]
async fn returning<T>(tx: &mut Conn, id: &str, value: T) -> Result<T, Refusal>
where
    T: Serialize + DeserializeOwned,
{
    effect(tx, id).await?;
    Ok(value)
}

#[idempotent(key = "id", scope = "fidelity.comparable")]
async fn comparable(tx: &mut Conn, id: &str, value: Skipping) -> Result<Skipping, Refusal> {
    effect(tx, id).await?;
    Ok(value)
}

#[idempotent(key = "id", scope = "fidelity.skipped", on_duplicate = "skip")]
async fn skipped(tx: &mut Conn, id: &str) -> Result<f64, Refusal> {
    effect(tx, id).await?;
    Ok(f64::NAN)
}

#[idempotent(key = "id", scope = "fidelity.declining", on_error = "record")]
async fn declining<T>(tx: &mut Conn, id: &str, value: T) -> Result<(), Declined<T>>
where
    T: Serialize + DeserializeOwned,
{
    effect(tx, id).await?;
    Err(Declined::With(value))
}

#[idempotent(key = "id", scope = "fidelity.skipping_error", on_error = "record")]
async fn skipping_error(tx: &mut Conn, id: &str) -> Result<(), Declined<Skipping>> {
    effect(tx, id).await?;
    Err(Declined::With(Skipping { a: 1, b: 7 }))
}

fn assert_refused<T: Debug>(ended: &Result<Outcome<T>, Error<Refusal>>) {
    let Err(error @ Error::ResultNotFaithful { type_name: of, .. }) = ended else {
        panic!("{ended:?}");
    };
    assert_eq!(*of, type_name::<T>());
    assert_eq!(error.disposition(), Disposition::DeadLetter);
}

#[tokio::test]
async fn a_result_that_a_duplicate_would_not_get_fails_before_commit() {
    let db = start().await;
    assert_refused(&returning(&db.pool, "o", Some(())).await);
    assert_refused(&returning(&db.pool, "o", Some(None::<u8>)).await);
    assert_refused(&returning(&db.pool, "o", f64::INFINITY).await);
    assert_refused(&returning(&db.pool, "o", vec![Some(f64::NAN)]).await);
    assert_refused(&returning(&db.pool, "o", Size::Long { a: 1, b: 2 }).await);
    assert_refused(&returning(&db.pool, "o", HashMap::from([((1_u8, 2_u8), 3_u8)])).await);
    assert_refused(&comparable(&db.pool, "o", Skipping { a: 1, b: 7 }).await);
    assert_eq!((db.effects().await, claims(&db).await), (vec![], vec![]));

    // Nothing is left of them: the next delivery is the first.
    let set: HashSet<u32> = (0..64).collect();
    assert_eq!(
        returning(&db.pool, "o", set.clone()).await.unwrap(),
        Outcome::Executed(set.clone())
    );
    assert_eq!(
        returning(&db.pool, "o", HashSet::<u32>::new())
            .await
            .unwrap(),
        Outcome::Replayed(set)
    );
    let plain = Skipping { a: 1, b: 0 };
    assert_eq!(
        comparable(&db.pool, "o", plain.clone()).await.unwrap(),
        Outcome::Executed(plain)
    );
    let short = returning(&db.pool, "p", Size::Short { a: 1 }).await;
    assert!(short.unwrap().is_executed());
    assert_eq!(db.effects().await, ["o", "o", "p"]);
}

#[tokio::test]
async fn what_is_not_stored_is_not_checked() {
    let db = start().await;
    let first = skipped(&db.pool, "o").await.unwrap();
    assert!(first.executed().is_some_and(f64::is_nan));
    assert!(skipped(&db.pool, "o").await.unwrap().is_replayed());
}

fn assert_declined<T: PartialEq + Debug>(
    ended: Result<Outcome<()>, Error<Declined<T>>>,
    expected: T,
) {
    match ended {
        Err(Error::Handler {
            error,
            replayed: false,
        }) => assert_eq!(error, Declined::With(expected)),
        ended => panic!("{ended:?}"),
    }
}

/// Guards: an error that can't be stored is the handler's own all the same, and no trouble of the
/// database's.
#[tokio::test]
async fn an_error_that_a_duplicate_would_not_get_is_not_recorded() {
    let db = start().await;
    for _ in 0..2 {
        let tuple_keys = || HashMap::from([((1_u8, 2_u8), 3_u8)]);
        assert_declined(declining(&db.pool, "o", tuple_keys()).await, tuple_keys());
        assert_declined(declining(&db.pool, "o", Some(())).await, Some(()));
        assert_declined(skipping_error(&db.pool, "o").await, Skipping { a: 1, b: 7 });
    }
    let mut tx = db.pool.begin().await.unwrap();
    assert_declined(declining(&mut tx, "o", Some(())).await, Some(()));
    tx.commit().await.unwrap();
    assert_eq!((db.effects().await, claims(&db).await), (vec![], vec![]));

    assert_declined(declining(&db.pool, "o", 7).await, 7);
    let again = declining(&db.pool, "o", 8).await;
    assert!(
        matches!(
            again,
            Err(Error::Handler {
                error: Declined::With(7),
                replayed: true
            })
        ),
        "{again:?}"
    );
}
