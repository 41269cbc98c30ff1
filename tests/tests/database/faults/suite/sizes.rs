//! Results, errors and events that are large.

use idem_runtime::{Classify, Disposition, Error, Outbox, Outcome, idempotent, outbox};
use serde::{Deserialize, Serialize};
use sqlx::{Row as _, raw_sql};

use super::transactions::{Done, events};
use super::{Conn, Order, STATEMENT_LIMIT, apply, claims, count, effects, perform, start};

const MEBI: usize = 1024 * 1024;

/// Where no limit is near, smaller ones do.
const UNIT: usize = match STATEMENT_LIMIT {
    Some(_) => MEBI,
    None => MEBI / 16,
};

/// What a handler returns and emits.
#[derive(Clone, Copy, Debug, Default)]
struct Sizes {
    result: usize,
    error: usize,
    event: usize,
}

#[idempotent(key = "id", scope = "laws.sizes", on_error = "record")]
#[outbox]
async fn sized(
    tx: &mut Conn,
    outbox: &mut Outbox<Done>,
    id: &str,
    sizes: Sizes,
) -> Result<String, Large> {
    perform(tx, &Order::plain(id)).await.unwrap();
    if sizes.event > 0 {
        outbox.emit(&Done {
            id: text(sizes.event),
        });
    }
    if sizes.error > 0 {
        return Err(Large(text(sizes.error)));
    }
    Ok(text(sizes.result))
}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("an error of {} bytes", .0.len())]
struct Large(String);

impl Classify for Large {
    fn disposition(&self) -> Disposition {
        Disposition::DeadLetter
    }
}

/// A text with what an encoding may stumble over, of this many bytes in JSON.
fn text(bytes: usize) -> String {
    // Nine bytes in JSON.
    r#"é'\"%_"#.chars().cycle().take(bytes / 9 * 6).collect()
}

/// Guards: a literal of some length travels in base64 where hexadecimal would double it.
#[tokio::test]
async fn a_large_result_and_a_large_event_are_stored_and_replayed() {
    let db = start(2).await;
    for (id, sizes) in [
        (
            "result",
            Sizes {
                result: 11 * UNIT,
                ..Sizes::default()
            },
        ),
        (
            "event",
            Sizes {
                event: 9 * UNIT,
                ..Sizes::default()
            },
        ),
        (
            "both",
            Sizes {
                result: 5 * UNIT,
                event: 5 * UNIT,
                error: 0,
            },
        ),
    ] {
        let executed = sized(&db.pool, id, sizes).await.unwrap();
        assert!(executed == Outcome::Executed(text(sizes.result)), "{id}");
        let replayed = sized(&db.pool, id, sizes).await.unwrap();
        assert!(replayed == Outcome::Replayed(text(sizes.result)), "{id}");
    }
    let payload = raw_sql("SELECT payload FROM idem_outbox ORDER BY seq DESC LIMIT 1")
        .fetch_one(&db.pool)
        .await
        .unwrap()
        .get::<Vec<u8>, _>(0);
    let event: Done = serde_json::from_slice(&payload).unwrap();
    assert!(event.id == text(5 * UNIT));
    let error = Sizes {
        error: 11 * UNIT,
        ..Sizes::default()
    };
    for replay in [false, true] {
        let failed = sized(&db.pool, "error", error).await;
        let Err(Error::Handler {
            error: Large(failed),
            replayed,
        }) = failed
        else {
            panic!("no error of the handler");
        };
        assert!(failed == text(error.error) && replayed == replay);
    }
}

/// Guards: a statement that the server would close the connection for is not sent. The error is
/// final and names both sizes, and neither the connection nor the caller's transaction is lost.
#[tokio::test]
async fn what_no_statement_can_hold_is_refused_before_it_is_sent() {
    let Some((limit, session)) = STATEMENT_LIMIT else {
        return;
    };
    let db = start(1).await;
    let before = count(&db.pool, session).await;
    for (id, sizes) in [
        (
            "result",
            Sizes {
                result: 13 * MEBI,
                ..Sizes::default()
            },
        ),
        (
            "event",
            Sizes {
                event: 13 * MEBI,
                ..Sizes::default()
            },
        ),
        (
            "both",
            Sizes {
                result: 7 * MEBI,
                event: 7 * MEBI,
                error: 0,
            },
        ),
        (
            "error",
            Sizes {
                error: 13 * MEBI,
                ..Sizes::default()
            },
        ),
    ] {
        let refused = sized(&db.pool, id, sizes).await.unwrap_err();
        assert_eq!(refused.disposition(), Disposition::DeadLetter, "{id}");
        let text = refused.to_string();
        let Error::TooLarge { size, limit: told } = refused else {
            panic!("{id}: {text}");
        };
        assert!(size > limit && told == limit, "{id}: {text}");
        assert!(
            text.contains(&size.to_string()) && text.contains(&limit.to_string()),
            "{text}"
        );
        let mut tx = db.pool.begin().await.unwrap();
        let joined = sized(&mut tx, id, sizes).await;
        assert!(matches!(joined, Err(Error::TooLarge { .. })), "{id}");
        apply(&mut tx, &Order::plain(&format!("beside.{id}")))
            .await
            .unwrap()
            .into_inner();
        tx.commit().await.unwrap();
        assert_eq!(effects(&db.pool, &format!("beside.{id}")).await, 1);
        assert_eq!(effects(&db.pool, id).await, 0);
    }
    assert_eq!((claims(&db.pool).await, events(&db.pool).await), (4, 0));
    assert_eq!(count(&db.pool, session).await, before);
}
