//! Events: there if and only if the effect is, and the same after a re-execution.

use idem_runtime::Outcome;
use idem_tests::event_id;
use sqlx::Row as _;

use super::handlers::{keyless, keyless_returned, place, returned};
use super::{Db, NAMESPACE, claims, outbox_rows, start};
use crate::model::{Emitted, Order, Refusal, end, refused};

fn emitted(id: &str, topic: &str, key: Option<&str>, kind: &str, payload: &str) -> Emitted {
    Emitted {
        id: id.into(),
        topic: topic.into(),
        key: key.map(Into::into),
        kind: kind.into(),
        payload: payload.into(),
        content_type: "application/json".into(),
        headers: r#"{"causation":"o"}"#.into(),
    }
}

/// The derivation of an event's ID as the guide has it.
async fn id(db: &Db, scope: &str, kind: &str, ordinal: u32) -> String {
    let row = sqlx::raw_sql(NAMESPACE).fetch_one(&db.pool).await;
    let namespace: String = row.unwrap().get(0);
    event_id(&namespace, scope, "o", kind, ordinal)
}

/// What `place` emits for the order `o`.
async fn placed(db: &Db) -> [Emitted; 3] {
    [
        emitted(
            &id(db, "contract.place", "Placed", 0).await,
            "orders.placed",
            Some("o"),
            "Placed",
            r#"{"order":"o","cents":1250}"#,
        ),
        emitted(
            &id(db, "contract.place", "mail.Due", 0).await,
            "mail.due",
            Some(&hex::encode("it's \\ \"é\" \0 end")),
            "mail.Due",
            r#"{"to":"it's \\ \"é\" \u0000 end"}"#,
        ),
        Emitted {
            headers: r#"{"causation":"o","reason":"it's \\ \"é\""}"#.into(),
            ..emitted(
                &id(db, "contract.place", "Placed", 1).await,
                "orders.placed",
                Some("o"),
                "Placed",
                r#"{"order":"o","cents":-1}"#,
            )
        },
    ]
}

#[tokio::test]
async fn events_are_there_if_and_only_if_the_effect_is() {
    let db = start().await;
    assert_eq!(
        end(place(&db.pool, &Order::refused("o", Refusal::Busy)).await),
        refused(Refusal::Busy)
    );
    assert_eq!(
        (db.effects().await, outbox_rows(&db).await),
        (vec![], vec![])
    );
    let order = Order::new("o");
    assert_eq!(
        end(place(&db.pool, &order).await),
        Ok(Outcome::Executed(order.receipt()))
    );
    assert_eq!(
        end(place(&db.pool, &order).await),
        Ok(Outcome::Replayed(order.receipt()))
    );
    assert_eq!(db.effects().await, ["o"]);
    assert_eq!(outbox_rows(&db).await, placed(&db).await);
}

/// After a failover that lost the last transactions the broker may know what the database does not.
#[tokio::test]
async fn a_re_execution_emits_the_same_ids() {
    let db = start().await;
    let order = Order::new("o");
    for lost in ["idem_outbox", "idem_outbox", "effects"] {
        assert_eq!(
            end(place(&db.pool, &order).await),
            Ok(Outcome::Executed(order.receipt()))
        );
        assert_eq!(outbox_rows(&db).await, placed(&db).await);
        db.execute("DELETE FROM idem_keys").await;
        db.execute(&format!("DELETE FROM {lost}")).await;
    }
    // Where the events outlived the key, they stay as they are and the effect is not held up by
    // them.
    assert_eq!(
        end(place(&db.pool, &order).await),
        Ok(Outcome::Executed(order.receipt()))
    );
    assert_eq!(outbox_rows(&db).await, placed(&db).await);
}

#[tokio::test]
async fn the_value_of_a_handler_can_be_its_event() {
    let db = start().await;
    let order = Order::new("o");
    assert_eq!(
        end(returned(&db.pool, &Order::refused("o", Refusal::Busy)).await),
        refused(Refusal::Busy)
    );
    assert_eq!(
        end(returned(&db.pool, &order).await),
        Ok(Outcome::Executed(order.receipt()))
    );
    assert_eq!(
        end(returned(&db.pool, &order).await),
        Ok(Outcome::Replayed(order.receipt()))
    );
    assert_eq!(
        outbox_rows(&db).await,
        [emitted(
            &id(&db, "contract.returned", "Receipt", 0).await,
            "orders.receipts",
            Some("o"),
            "Receipt",
            r#"{"order":"o","cents":1250,"note":null}"#,
        )]
    );
}

/// Without a key there are no duplicates: each call is an event of its own, under an ID of its own.
#[tokio::test]
async fn without_a_key_the_events_are_still_one_with_the_effect() {
    let db = start().await;
    let order = Order::new("o");
    let refuses = Order::refused("o", Refusal::Busy);
    let result = keyless(&db.pool, &refuses).await;
    assert_eq!(
        result.map_err(|error| format!("{error:?}")),
        refused(Refusal::Busy)
    );
    for _ in 0..2 {
        assert_eq!(keyless(&db.pool, &order).await.unwrap(), order.receipt());
    }
    assert_eq!(
        keyless_returned(&db.pool, &order).await.unwrap(),
        order.receipt()
    );
    assert_eq!(db.effects().await, ["o", "o", "o"]);
    assert_eq!(claims(&db).await, []);

    let events = outbox_rows(&db).await;
    let mut ids: Vec<_> = events.iter().map(|event| event.id.clone()).collect();
    let bare = |event: Emitted| Emitted {
        id: String::new(),
        headers: String::new(),
        ..event
    };
    let place = emitted(
        "",
        "orders.placed",
        Some("o"),
        "Placed",
        r#"{"order":"o","cents":1250}"#,
    );
    let receipt = emitted(
        "",
        "orders.receipts",
        None,
        "Receipt",
        r#"{"order":"o","cents":1250,"note":null}"#,
    );
    assert_eq!(
        events
            .iter()
            .map(|event| event.headers.as_str())
            .collect::<Vec<_>>(),
        ["{}", "{}", "{}"]
    );
    assert_eq!(
        events.into_iter().map(bare).collect::<Vec<_>>(),
        [place.clone(), place, receipt].map(bare)
    );
    ids.dedup();
    assert_eq!(ids.len(), 3);
}
