//! Services that start together, whatever the level of their transactions.

use sqlx::{AssertSqlSafe, Database as _, raw_sql};
use tokio::task::JoinSet;

use super::handlers::apply;
use super::{Conn, VERSIONS, empty};
use crate::model::Order;

type Database = <Conn as sqlx::Connection>::Database;

/// Settings of the sessions that migrate.
fn settings() -> &'static [&'static str] {
    match Database::NAME {
        "PostgreSQL" => &[
            "SET default_transaction_isolation = 'repeatable read'",
            "SET default_transaction_isolation = 'serializable'",
        ],
        "MySQL" => &[
            "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ; SET autocommit = 0",
            "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SET autocommit = 0",
        ],
        _ => &["PRAGMA read_uncommitted = 1"],
    }
}

/// Guards: a migrator reads what the one before it committed, whatever its session's default.
#[tokio::test]
async fn eight_services_migrate_at_once_at_every_isolation_level() {
    for setting in settings() {
        for _ in 0..3 {
            let db = empty(8).await;
            let mut sessions = Vec::new();
            for _ in 0..8 {
                sessions.push(db.pool.acquire().await.unwrap());
            }
            for conn in &mut sessions {
                let sql = AssertSqlSafe((*setting).to_owned());
                raw_sql(sql).execute(&mut **conn).await.unwrap();
            }
            drop(sessions);
            let mut services = JoinSet::new();
            for _ in 0..8 {
                let pool = db.pool.clone();
                services.spawn(async move { idem_runtime::migrate(&pool).await });
            }
            for migrated in services.join_all().await {
                assert!(migrated.is_ok(), "{setting}: {migrated:?}");
            }
            assert_eq!(db.number(VERSIONS).await, 1, "{setting}");
            db.execute("CREATE TABLE effects (id VARCHAR(64) NOT NULL)")
                .await;
            let order = Order::new("o");
            assert!(apply(&db.pool, &order).await.unwrap().is_executed());
            assert!(!apply(&db.pool, &order).await.unwrap().is_executed());
        }
    }
}
