//! Handlers that ask for an isolation level.

use std::sync::Arc;

use idem_runtime::{Disposition, Error, Outcome, idempotent};
use sqlx::{Database as _, Row as _, raw_sql};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::handlers::begin;
use super::{Conn, another_pool, start};
use crate::model::Order;

type Database = <Conn as sqlx::Connection>::Database;

/// The level of the transaction that is open, as the server tells it; `None` where it has one
/// alone.
async fn level(tx: &mut Conn) -> Result<Option<String>, sqlx::Error> {
    let sql = match Database::NAME {
        "PostgreSQL" => "SHOW transaction_isolation",
        "MySQL" => {
            "SELECT LOWER(trx_isolation_level) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = CONNECTION_ID()"
        }
        _ => return Ok(None),
    };
    // InnoDB answers whoever asks again within a tenth of a second from memory.
    let deadline = Instant::now() + std::time::Duration::from_secs(5);
    loop {
        let rows = raw_sql(sql).fetch_all(&mut *tx).await?;
        if let Some(row) = rows.first() {
            return row.try_get(0).map(Some);
        }
        assert!(
            Instant::now() < deadline,
            "the transaction is not on the list"
        );
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    }
}

#[idempotent(
    key = "order.id",
    scope = "contract.serializable",
    isolation = "serializable",
    retry = 0
)]
async fn serializable(tx: &mut Conn, order: &Order) -> Result<Option<String>, sqlx::Error> {
    let _ = order;
    level(tx).await
}

#[idempotent(
    key = "order.id",
    scope = "contract.repeatable",
    isolation = "repeatable read",
    retry = 0
)]
async fn repeatable_read(tx: &mut Conn, order: &Order) -> Result<Option<String>, sqlx::Error> {
    let _ = order;
    level(tx).await
}

/// Guards: the level is set for the transaction that the call begins, and for no other.
#[tokio::test]
async fn a_call_of_its_own_runs_at_the_level_that_its_handler_asks_for() {
    let db = start().await;
    let one_level = !matches!(Database::NAME, "PostgreSQL" | "MySQL");
    let expected = |level: &str| Outcome::Executed((!one_level).then(|| level.to_owned()));
    for id in ["pool", "connection"] {
        let order = Order::new(id);
        // Sessions of their own: the list can still hold a transaction of this one that has ended.
        let [first, second] = [another_pool(&db).await, another_pool(&db).await];
        let (first, second) = if id == "pool" {
            (
                serializable(&first, &order).await,
                repeatable_read(&second, &order).await,
            )
        } else {
            let mut first = first.acquire().await.unwrap();
            let mut second = second.acquire().await.unwrap();
            (
                serializable(&mut first, &order).await,
                repeatable_read(&mut *second, &order).await,
            )
        };
        assert_eq!(first.unwrap(), expected("serializable"));
        assert_eq!(second.unwrap(), expected("repeatable read"));
    }
}

/// Guards: a joined call can't raise the level of the caller's transaction, so one that is weaker
/// is refused.
#[tokio::test]
async fn a_transaction_that_is_weaker_than_its_handler_asks_for_is_refused() {
    let db = start().await;
    let order = Order::new("o");
    let mut tx = begin(&db.pool).await;
    let weaker = serializable(&mut tx, &order).await;
    if !matches!(Database::NAME, "PostgreSQL" | "MySQL") {
        assert!(weaker.unwrap().is_executed());
        return;
    }
    let error = weaker.unwrap_err();
    assert!(matches!(error, Error::IsolationTooWeak { .. }), "{error:?}");
    assert_eq!(error.disposition(), Disposition::DeadLetter);
    assert!(error.to_string().contains("SERIALIZABLE"), "{error}");
    // The transaction is whole.
    raw_sql("INSERT INTO effects (id) VALUES ('caller')")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(db.effects().await, ["caller"]);
    let begin_with = match Database::NAME {
        "PostgreSQL" => "BEGIN ISOLATION LEVEL REPEATABLE READ",
        _ => "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; START TRANSACTION",
    };
    let mut tx = db.pool.begin_with(begin_with).await.unwrap();
    let weaker = serializable(&mut tx, &order).await;
    assert!(
        matches!(weaker, Err(Error::IsolationTooWeak { .. })),
        "{weaker:?}"
    );
    let as_strict = repeatable_read(&mut tx, &order).await;
    if Database::NAME == "PostgreSQL" {
        assert!(as_strict.unwrap().is_executed());
    } else {
        // The server does not tell the level of a transaction that is open.
        assert!(
            matches!(as_strict, Err(Error::IsolationTooWeak { .. })),
            "{as_strict:?}"
        );
    }
    tx.commit().await.unwrap();
}

/// Where two executions have read, and neither has written.
#[derive(Debug)]
struct Meeting {
    here: Semaphore,
    go_on: Semaphore,
}

async fn leave(tx: &mut Conn, doctor: i64, meeting: &Meeting) -> Result<bool, sqlx::Error> {
    let count = "SELECT CAST(count(*) AS CHAR(9)) FROM doctors WHERE on_call = 1";
    let on_call: String = raw_sql(count).fetch_one(&mut *tx).await?.try_get(0)?;
    meeting.here.add_permits(1);
    meeting
        .go_on
        .acquire()
        .await
        .expect("never closed")
        .forget();
    if on_call.trim() != "2" {
        return Ok(false);
    }
    let leaves = format!("UPDATE doctors SET on_call = 0 WHERE id = {doctor}");
    raw_sql(sqlx::AssertSqlSafe(leaves)).execute(tx).await?;
    Ok(true)
}

#[idempotent(
    key = "doctor",
    scope = "contract.leave",
    isolation = "serializable",
    retry = 5
)]
async fn leave_serializable(
    tx: &mut Conn,
    doctor: i64,
    meeting: &Meeting,
) -> Result<bool, sqlx::Error> {
    leave(tx, doctor, meeting).await
}

#[idempotent(key = "doctor", scope = "contract.leave_by_default", retry = 5)]
async fn leave_by_default(
    tx: &mut Conn,
    doctor: i64,
    meeting: &Meeting,
) -> Result<bool, sqlx::Error> {
    leave(tx, doctor, meeting).await
}

/// Guards: the level and the attempts together. By default both doctors leave, since neither sees
/// the other go.
#[tokio::test]
async fn a_write_skew_is_prevented_by_serializable_and_retry() {
    let db = start().await;
    db.execute("CREATE TABLE doctors (id INT PRIMARY KEY, on_call INT NOT NULL)")
        .await;
    let several_writers = matches!(Database::NAME, "PostgreSQL" | "MySQL");
    for is_serializable in [false, true] {
        db.execute("DELETE FROM doctors").await;
        db.execute("INSERT INTO doctors VALUES (1, 1), (2, 1)")
            .await;
        let meeting = Arc::new(Meeting {
            here: Semaphore::new(0),
            go_on: Semaphore::new(0),
        });
        let calls = [1, 2].map(|doctor| {
            let (pool, meeting) = (db.pool.clone(), meeting.clone());
            tokio::spawn(async move {
                if is_serializable {
                    leave_serializable(&pool, doctor, &meeting).await
                } else {
                    leave_by_default(&pool, doctor, &meeting).await
                }
            })
        });
        let readers = if several_writers { 2 } else { 1 };
        meeting.here.acquire_many(readers).await.unwrap().forget();
        meeting.go_on.add_permits(100);
        let mut left = 0;
        for call in calls {
            left += usize::from(call.await.unwrap().unwrap().into_inner());
        }
        let expected = if is_serializable || !several_writers {
            1
        } else {
            2
        };
        assert_eq!(left, expected, "serializable: {is_serializable}");
    }
}
