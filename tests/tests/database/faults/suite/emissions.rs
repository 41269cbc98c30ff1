//! An event whose ID is in the outbox already, from an execution that the keys have forgotten.

use idem_runtime::{
    DeadLetterFilter, Disposition, Error, Event, Outbox, Outcome, PublishBatch, PublishError,
    Publisher, Relay, idempotent, outbox,
};
use serde::{Deserialize, Serialize};
use sqlx::{Row as _, raw_sql};

use super::{Conn, LENIENT, Order, Pool, apply, claims, effects, perform, sql, start};

#[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
#[event(topic = "laws.counted", key = "id")]
struct Counted {
    id: String,
    n: i64,
}

#[derive(Serialize, Event)]
#[event(topic = "laws.keyless")]
struct Keyless {
    n: i64,
}

#[idempotent(key = "id", scope = "laws.emits")]
#[outbox]
async fn emits(
    tx: &mut Conn,
    outbox: &mut Outbox<(Counted, Keyless)>,
    id: &str,
    numbers: [i64; 3],
) -> Result<i64, sqlx::Error> {
    perform(tx, &Order::plain(id)).await?;
    let [first, second, keyless] = numbers;
    for n in [first, second] {
        outbox.emit(&Counted { id: id.into(), n });
    }
    outbox.emit_with(&Keyless { n: keyless }, &[("at", &n_th_execution())]);
    Ok(7)
}

/// Another header in each execution, as a trace has.
fn n_th_execution() -> String {
    static N: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    N.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
        .to_string()
}

async fn forget(pool: &Pool) {
    sql(&mut pool.acquire().await.unwrap(), "DELETE FROM idem_keys")
        .await
        .unwrap();
}

async fn payloads(pool: &Pool, table: &str) -> Vec<String> {
    let number = if table == "idem_outbox" {
        "seq"
    } else {
        "number"
    };
    let rows = raw_sql(sqlx::AssertSqlSafe(format!(
        "SELECT payload FROM {table} ORDER BY {number}"
    )));
    let rows = rows.fetch_all(pool).await.unwrap();
    rows.iter()
        .map(|row| String::from_utf8(row.get(0)).unwrap())
        .collect()
}

/// Guards: the statement that writes the events compares them with what is there, in all but their
/// headers.
#[tokio::test]
async fn an_event_that_is_emitted_again_stays_as_it_is_or_fails_the_call() {
    let db = start(2).await;
    let executed = Outcome::Executed(7);
    assert_eq!(emits(&db.pool, "o", [1, 2, 3]).await.unwrap(), executed);
    let first = payloads(&db.pool, "idem_outbox").await;
    assert_eq!(first.len(), 3);
    forget(&db.pool).await;
    assert_eq!(emits(&db.pool, "o", [1, 2, 3]).await.unwrap(), executed);
    assert_eq!(payloads(&db.pool, "idem_outbox").await, first);
    assert_eq!(effects(&db.pool, "o").await, 2);
    forget(&db.pool).await;
    for numbers in [[9, 2, 3], [1, 9, 3], [1, 2, 9], [2, 1, 3]] {
        let conflict = emits(&db.pool, "o", numbers).await.unwrap_err();
        assert!(matches!(conflict, Error::EventConflict), "{conflict:?}");
        assert_eq!(conflict.disposition(), Disposition::DeadLetter);
        for setting in LENIENT {
            let mut lenient = db.pool.acquire().await.unwrap();
            lenient.close_on_drop();
            sql(&mut lenient, setting).await.unwrap();
            let conflict = emits(&mut lenient, "o", numbers).await;
            assert!(matches!(conflict, Err(Error::EventConflict)), "{setting}");
        }
        let mut tx = db.pool.begin().await.unwrap();
        let joined = emits(&mut tx, "o", numbers).await;
        assert!(matches!(joined, Err(Error::EventConflict)), "{joined:?}");
        let beside = apply(&mut tx, &Order::plain("beside")).await;
        let _outcome = beside.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(payloads(&db.pool, "idem_outbox").await, first);
        assert_eq!(
            (effects(&db.pool, "o").await, claims(&db.pool).await),
            (2, 1)
        );
    }
    db.assert_no_open_transaction().await;
}

/// A receiver that takes nothing.
struct Refusing;

impl Publisher for Refusing {
    async fn publish(&self, batch: PublishBatch) {
        for index in 0..batch.messages().len() {
            batch.verdict(index, Err(PublishError::permanent("no")));
        }
    }
}

/// Guards: a dead letter goes back only where its ID is free, or is its own event's.
#[tokio::test]
async fn a_dead_letter_whose_event_was_emitted_anew_stays_one() {
    let db = start(2).await;
    for (id, number) in [("same", 1), ("other", 9)] {
        let _outcome = emits(&db.pool, id, [1, 2, 3]).await.unwrap();
        let relayed = Relay::new(db.pool.clone(), Refusing).drain().await;
        assert!(relayed.unwrap().dead_lettered >= 3);
        forget(&db.pool).await;
        let _outcome = emits(&db.pool, id, [number, 2, 3]).await.unwrap();
    }
    for replayed in [5, 0] {
        let found = idem_runtime::replay_dead_letters(&db.pool, DeadLetterFilter::All).await;
        assert_eq!(found.unwrap(), replayed);
        let kept = payloads(&db.pool, "idem_dead_letters").await;
        assert_eq!(kept, [r#"{"id":"other","n":1}"#]);
        assert_eq!(payloads(&db.pool, "idem_outbox").await.len(), 6);
    }
}
