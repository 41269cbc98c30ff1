//! Event IDs follow from the database, so that the tenants of one program have different ones.

use std::collections::BTreeMap;

use idem_runtime::{Event, Outbox, idempotent, outbox, renew_namespace};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Connection as _, Database as _, Row as _, raw_sql};

use super::handlers::{begin, place};
use super::{Conn, Db, NAMESPACE, Pool, another_pool, empty, outbox_rows, start};
use crate::model::{Order, Refusal};

type Database = <Conn as sqlx::Connection>::Database;

/// The IDs of the events, by what they carry.
async fn ids(db: &Db) -> BTreeMap<String, String> {
    let emitted = outbox_rows(db).await;
    emitted
        .into_iter()
        // What a mail carries is the same for each order.
        .filter(|event| event.topic != "mail.due")
        .map(|event| (event.payload, event.id))
        .collect()
}

/// The IDs that the same messages get when they are executed once more, on the db's own pool.
async fn ids_of_new_executions(db: &Db, orders: &[Order]) -> BTreeMap<String, String> {
    forget(db).await;
    for order in orders {
        assert!(place(&db.pool, order).await.unwrap().is_executed());
    }
    ids(db).await
}

async fn forget(db: &Db) {
    for table in ["idem_keys", "idem_outbox", "effects"] {
        db.execute(&format!("DELETE FROM {table}")).await;
    }
}

/// Guards: the namespace that each database draws when it is migrated.
#[tokio::test]
async fn one_message_in_two_databases_has_two_event_ids() {
    let (one, other) = (start().await, start().await);
    let orders = [Order::new("1")];
    for db in [&one, &other] {
        assert!(place(&db.pool, &orders[0]).await.unwrap().is_executed());
    }
    let (ids_of_one, ids_of_other) = (ids(&one).await, ids(&other).await);
    assert_eq!(ids_of_one.len(), 2);
    for (event, id) in &ids_of_one {
        assert_ne!(Some(id), ids_of_other.get(event));
    }
    assert_eq!(ids_of_new_executions(&one, &orders).await, ids_of_one);
    assert_eq!(ids_of_new_executions(&other, &orders).await, ids_of_other);
}

/// Guards: what is known of a pool is kept by its connect options as long as they live, and the
/// claim refuses another database's namespace.
#[tokio::test]
async fn a_pool_never_uses_the_namespace_of_one_that_was_dropped() {
    let databases = [start().await, start().await];
    let orders: Vec<_> = (0..10).map(|n| Order::new(&n.to_string())).collect();
    for order in &orders {
        for db in &databases {
            let pool: Pool = another_pool(db).await;
            assert!(place(&pool, order).await.unwrap().is_executed());
            pool.close().await;
        }
    }
    for db in &databases {
        let found = ids(db).await;
        assert_eq!(found, ids_of_new_executions(db, &orders).await);
    }
}

/// Guards: a claim with the namespace of another database is refused there, and made once more with
/// the right one.
#[tokio::test]
async fn a_pool_that_is_led_to_another_database_uses_that_ones_namespace() {
    let databases = [start().await, start().await];
    let pool = databases[0].another_pool(2).await;
    let orders: Vec<_> = (0..8).map(|n| Order::new(&n.to_string())).collect();
    assert!(place(&pool, &orders[0]).await.unwrap().is_executed());
    // One connection leads to each of the two. The pool may have opened a second one before.
    let (mut old, extra) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    extra.close().await.unwrap();
    pool.set_connect_options((*databases[1].pool.connect_options()).clone());
    let mut new = pool.acquire().await.unwrap();
    old.ping().await.unwrap();
    new.ping().await.unwrap();
    drop((old, new));
    for order in &orders[1..] {
        let other = Order::new(&format!("{}-other", order.id));
        let (one, another) = tokio::join!(place(&pool, order), place(&pool, &other));
        assert!(one.unwrap().is_executed() && another.unwrap().is_executed());
    }
    let mut found = 0;
    for db in &databases {
        let here = ids(db).await;
        let orders: Vec<_> = db.effects().await.iter().map(|id| Order::new(id)).collect();
        found += orders.len();
        assert!(!orders.is_empty(), "every call went to the other database");
        assert_eq!(here, ids_of_new_executions(db, &orders).await);
    }
    assert_eq!(found, 15);
}

/// Guards: the same, where the database got a new namespace under a service that runs.
#[tokio::test]
async fn a_renewed_namespace_is_used_by_a_pool_that_knows_the_one_before() {
    let db = start().await;
    let orders = [Order::new("1"), Order::new("2")];
    let before = ids_of_new_executions(&db, &orders).await;
    let namespace = namespace(&db).await;
    renew_namespace(&another_pool(&db).await).await.unwrap();
    assert_ne!(self::namespace(&db).await, namespace);
    forget(&db).await;
    assert!(place(&db.pool, &orders[0]).await.unwrap().is_executed());
    let mut tx = begin(&db.pool).await;
    assert!(place(&mut tx, &orders[1]).await.unwrap().is_executed());
    tx.commit().await.unwrap();
    let after = ids(&db).await;
    for (event, id) in &before {
        assert_ne!(after.get(event), Some(id), "{event}");
    }
    assert_eq!(ids_of_new_executions(&db, &orders).await, after);

    // On a connection that is kept, and in a joined call.
    let mut conn = db.pool.acquire().await.unwrap();
    renew_namespace(&another_pool(&db).await).await.unwrap();
    forget(&db).await;
    assert!(place(&mut conn, &orders[0]).await.unwrap().is_executed());
    drop(conn);
    assert!(place(&db.pool, &orders[1]).await.unwrap().is_executed());
    let found = ids(&db).await;
    assert_eq!(ids_of_new_executions(&db, &orders).await, found);
}

async fn namespace(db: &Db) -> String {
    let row = raw_sql(NAMESPACE).fetch_one(&db.pool).await.unwrap();
    row.get(0)
}

/// Copying the rows of a database, its namespace among them, keeps the IDs.
#[tokio::test]
async fn a_copy_of_a_database_has_its_event_ids() {
    let (one, copy) = (start().await, empty(4).await);
    let orders = [Order::new("1")];
    let before = ids_of_new_executions(&one, &orders).await;
    idem_runtime::migrate(&copy.pool).await.unwrap();
    copy.execute("CREATE TABLE effects (id VARCHAR(64) NOT NULL)")
        .await;
    let namespace = super::id(&namespace(&one).await);
    copy.execute(&format!("UPDATE idem_schema SET namespace = {namespace}"))
        .await;
    // Where functions hold it, they are made anew by what applies the migrations again.
    idem_runtime::migrate(&copy.pool).await.unwrap();
    assert_eq!(ids_of_new_executions(&copy, &orders).await, before);
}

#[derive(Serialize, Deserialize, Event)]
#[event(topic = "contract.numbered", key = "number")]
struct Numbered {
    number: i64,
}

/// The guide's own example: the database draws the number by which the events are ordered.
#[idempotent(key = "order.id", scope = "contract.numbered")]
#[outbox]
async fn numbered(
    tx: &mut Conn,
    outbox: &mut Outbox<Numbered>,
    order: &Order,
) -> Result<i64, Refusal> {
    let sql = format!(
        "INSERT INTO numbered (name) VALUES ('{}') RETURNING id",
        order.id
    );
    let row = raw_sql(AssertSqlSafe(sql)).fetch_one(&mut *tx).await?;
    let number = row.get::<i32, _>(0).into();
    outbox.emit(&Numbered { number });
    Ok(number)
}

/// Guards: the ID of an event does not follow from its ordering key.
#[tokio::test]
async fn an_ordering_key_that_the_database_draws_changes_no_id() {
    let db = start().await;
    let id = match Database::NAME {
        "PostgreSQL" => "id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        "MySQL" => "id INT AUTO_INCREMENT PRIMARY KEY",
        _ => "id INTEGER PRIMARY KEY AUTOINCREMENT",
    };
    db.execute(&format!("CREATE TABLE numbered ({id}, name VARCHAR(64))"))
        .await;
    let order = Order::new("o");
    let mut found = Vec::new();
    for _ in 0..2 {
        assert!(numbered(&db.pool, &order).await.unwrap().is_executed());
        let [event] = &outbox_rows(&db).await[..] else {
            panic!("not one event");
        };
        found.push((event.id.clone(), event.key.clone()));
        forget(&db).await;
    }
    assert_eq!(found[0].0, found[1].0);
    assert_ne!(found[0].1, found[1].1);
}
