//! The tables: made once, missed by name, kept small.

use idem_runtime::{Error, Outcome, Purged, migrate, purge};
use tokio::task::JoinSet;

use super::handlers::{apply, begin, keyless, place, returned};
use super::{Db, EIGHT_DAYS_AGO, KEY, VERSIONS, bytes, claims, empty, outbox_rows, start};
use crate::model::{Order, end};

#[tokio::test]
async fn services_that_start_together_migrate_once_and_again_harmlessly() {
    let db = empty(8).await;
    let mut services = JoinSet::new();
    for _ in 0..8 {
        let pool = db.pool.clone();
        services.spawn(async move { migrate(&pool).await });
    }
    for migrated in services.join_all().await {
        migrated.unwrap();
    }
    db.execute("CREATE TABLE effects (id VARCHAR(64) NOT NULL)")
        .await;
    let order = Order::new("o");
    assert!(place(&db.pool, &order).await.unwrap().is_executed());
    let before = (claims(&db).await, outbox_rows(&db).await);
    migrate(&db.pool).await.unwrap();
    assert_eq!((claims(&db).await, outbox_rows(&db).await), before);
    assert_eq!(db.number("SELECT count(*) FROM idem_schema").await, 1);
    assert_eq!(db.number(VERSIONS).await, 1);
    assert_eq!(
        end(place(&db.pool, &order).await),
        Ok(Outcome::Replayed(order.receipt()))
    );
}

/// Every operation that finds no tables.
async fn all_not_migrated(db: &Db) {
    let order = Order::new("o");
    let mut tx = begin(&db.pool).await;
    let results = [
        apply(&db.pool, &order).await.map(drop),
        apply(&mut tx, &order).await.map(drop),
        place(&db.pool, &order).await.map(drop),
        returned(&db.pool, &order).await.map(drop),
    ];
    tx.rollback().await.unwrap();
    for result in results {
        assert_eq!(
            result.map_err(|error| format!("{error:?}")),
            Err("NotMigrated".into())
        );
    }
    assert!(matches!(purge(&db.pool).await, Err(Error::NotMigrated)));
    assert_eq!(db.effects().await, Vec::<String>::new());
}

#[tokio::test]
async fn every_operation_says_that_the_tables_are_missing() {
    let db = empty(4).await;
    db.execute("CREATE TABLE effects (id VARCHAR(64) NOT NULL)")
        .await;
    all_not_migrated(&db).await;
    let order = Order::new("o");
    let emits = keyless(&db.pool, &order).await;
    assert!(matches!(emits, Err(Error::NotMigrated)), "{emits:?}");

    migrate(&db.pool).await.unwrap();
    assert_eq!(
        end(place(&db.pool, &order).await),
        Ok(Outcome::Executed(order.receipt()))
    );
}

#[tokio::test]
async fn a_call_that_gets_no_connection_runs_nothing() {
    let db = start().await;
    db.pool.close().await;
    let order = Order::new("o");
    let claimed = apply(&db.pool, &order).await.map(drop);
    assert!(
        matches!(claimed, Err(Error::Store(sqlx::Error::PoolClosed))),
        "{claimed:?}"
    );
    let emits = keyless(&db.pool, &order).await;
    assert!(
        matches!(emits, Err(Error::Store(sqlx::Error::PoolClosed))),
        "{emits:?}"
    );
}

#[tokio::test]
async fn each_table_is_missed_by_what_needs_it() {
    let db = start().await;
    db.execute("DROP TABLE idem_outbox").await;
    let order = Order::new("o");
    let mut tx = begin(&db.pool).await;
    for result in [
        place(&db.pool, &order).await.map(drop),
        returned(&db.pool, &order).await.map(drop),
        keyless(&db.pool, &order).await.map(drop),
        place(&mut tx, &order).await.map(drop),
    ] {
        assert_eq!(
            result.map_err(|error| format!("{error:?}")),
            Err("NotMigrated".into())
        );
    }
    tx.rollback().await.unwrap();
    assert_eq!((db.effects().await, claims(&db).await), (vec![], vec![]));
    // What emits nothing goes on.
    assert_eq!(
        end(apply(&db.pool, &order).await),
        Ok(Outcome::Executed(order.receipt()))
    );
    db.execute("DELETE FROM effects").await;
    db.execute("DROP TABLE idem_attempts").await;
    assert!(matches!(purge(&db.pool).await, Err(Error::NotMigrated)));

    let db = start().await;
    db.execute("DROP TABLE idem_keys").await;
    all_not_migrated(&db).await;
    let receipt = keyless(&db.pool, &order).await.unwrap();
    assert_eq!(receipt, order.receipt());
    assert_eq!(db.effects().await, ["o"]);
}

/// Adds expired keys and forgotten attempts, whose IDs begin with a number.
async fn add_old(db: &Db, first: u32, keys: u32, attempts: u32) {
    let values = |count: u32, value: &dyn Fn(&str) -> String| {
        let values = (first..first + count).map(|number| value(&format!("{number:032x}")));
        values.collect::<Vec<_>>().join(", ")
    };
    let rows = values(keys, &|number| format!("('old', {}, 3)", bytes(number)));
    db.execute(&format!(
        "INSERT INTO idem_keys (scope, {KEY}, state) VALUES {rows}"
    ))
    .await;
    db.execute("UPDATE idem_keys SET expires_at = created_at WHERE scope = 'old'")
        .await;
    let rows = values(attempts, &|number| {
        format!("('relay', 'old', '', '{number}', 1, {EIGHT_DAYS_AGO})")
    });
    db.execute(&format!(
        "INSERT INTO idem_attempts (origin, name, source, id, attempts, touched_at) VALUES {rows}"
    ))
    .await;
}

/// Guards: a purge goes on as long as either table fills a batch of a thousand.
#[tokio::test]
async fn purge_deletes_what_is_past_its_time_and_nothing_else() {
    let db = start().await;
    // Kept: keys without retention, events, and an attempt of today.
    let (one, other) = (Order::new("one"), Order::new("other"));
    assert!(place(&db.pool, &one).await.unwrap().is_executed());
    assert!(returned(&db.pool, &other).await.unwrap().is_executed());
    db.execute(
        "INSERT INTO idem_attempts (origin, name, source, id, attempts) VALUES ('relay', 'new', '', 'e', 1)",
    )
    .await;

    for (first, keys, attempts) in [(0, 2_500, 1_200), (10_000, 10, 1_500)] {
        add_old(&db, first, keys, attempts).await;
        let mut expected = Purged::default();
        expected.keys = keys.into();
        expected.attempts = attempts.into();
        assert_eq!(purge(&db.pool).await.unwrap(), expected);
        assert_eq!(purge(&db.pool).await.unwrap(), Purged::default());
    }
    assert_eq!(db.number("SELECT count(*) FROM idem_attempts").await, 1);
    let scopes: Vec<_> = claims(&db).await.into_iter().map(|c| c.scope).collect();
    assert_eq!(scopes, ["contract.place", "contract.returned"]);
    let topics: Vec<_> = outbox_rows(&db)
        .await
        .into_iter()
        .map(|e| e.topic)
        .collect();
    assert_eq!(
        topics,
        [
            "orders.placed",
            "mail.due",
            "orders.placed",
            "orders.receipts"
        ]
    );
}
