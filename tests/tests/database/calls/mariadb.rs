//! MariaDB, and so MySQL: the SQL is what both understand.
//!
//! It keeps the laws of this suite. A wait in the database is counted in whole seconds, rounded up.

use idem_tests::TestDb;

suite!();

pub(crate) type Db = TestDb<sqlx::MySql>;
pub(crate) type Conn = sqlx::MySqlConnection;
pub(crate) type Pool = sqlx::MySqlPool;

/// Whether a claim that waits for another transaction knows that it is one of the same key.
pub(crate) const WAITS_FOR_KEYS: bool = true;

/// Whether a transaction that has read may still claim after another one wrote.
pub(crate) const CLAIMS_AFTER_READING: bool = true;

/// An empty database and a pool of this many connections to it.
pub(crate) async fn empty(connections: u32) -> Db {
    TestDb::empty(connections).await
}

pub(crate) async fn another_pool(db: &Db) -> Pool {
    db.another_pool(2).await
}

pub(crate) const CLAIMS: &str = "SELECT CONVERT(scope USING utf8mb4), LOWER(HEX(`key`)), LOWER(HEX(fingerprint)), \
    CAST(state AS SIGNED), CAST(result_version AS SIGNED), CONVERT(result USING utf8mb4), \
    CAST(ROUND(TIMESTAMPDIFF(SECOND, created_at, expires_at) / 3600) AS SIGNED) \
    FROM idem_keys ORDER BY scope, `key`";

pub(crate) const EMITTED: &str = "SELECT LOWER(HEX(id)), topic, CONVERT(`key` USING utf8mb4), type, \
    CONVERT(payload USING utf8mb4), content_type, headers FROM idem_outbox ORDER BY seq";

pub(crate) const KEYS_LIKE_OURS: &str =
    "CREATE TABLE many_keys AS SELECT `key` AS bytes FROM idem_keys WHERE false";

pub(crate) const NAMESPACE: &str = "SELECT LOWER(HEX(namespace)) FROM idem_schema";

pub(crate) const VERSIONS: &str = "SELECT CAST(version AS SIGNED) FROM idem_schema";

pub(crate) const EIGHT_DAYS_AGO: &str = "UTC_TIMESTAMP(6) - INTERVAL 8 DAY";

pub(crate) const KEY: &str = "`key`";

pub(crate) fn id(hex: &str) -> String {
    bytes(hex)
}

pub(crate) fn bytes(hex: &str) -> String {
    format!("X'{hex}'")
}

mod only_here {
    use idem_runtime::{Error, Outcome, migrate};
    use sqlx::mysql::MySqlPoolOptions;
    use sqlx::raw_sql;

    use super::handlers::{apply, begin, effect, keyless, meet_at_once, meet_soon, record};
    use super::*;
    use crate::model::{Order, Refusal, end, refused};

    /// One connection, with a timeout that is not the default: what restores a default shows too.
    async fn db() -> Db {
        let mut db = TestDb::empty(1).await;
        db.pool = MySqlPoolOptions::new()
            .max_connections(1)
            .after_connect(|conn, _| {
                let set = raw_sql("SET innodb_lock_wait_timeout = 33");
                Box::pin(async move { set.execute(conn).await.map(drop) })
            })
            .connect(db.database().url())
            .await
            .unwrap();
        db
    }

    async fn assert_as_it_was(db: &Db, after: &str) {
        let settings = [
            "SELECT CAST(@@autocommit AS SIGNED)",
            "SELECT CAST(@@innodb_lock_wait_timeout AS SIGNED)",
            "SELECT CAST(@@in_transaction AS SIGNED)",
        ];
        let mut found = [0; 3];
        for (found, sql) in found.iter_mut().zip(settings) {
            *found = db.number(sql).await;
        }
        assert_eq!(found, [1, 33, 0], "after {after}");
    }

    /// Autocommit and the timeout are the session's, and the session outlives the call.
    #[tokio::test]
    async fn every_call_leaves_the_session_as_it_found_it() {
        let db = db().await;
        let order = Order::new("o");
        assert!(matches!(
            apply(&db.pool, &order).await,
            Err(Error::NotMigrated)
        ));
        assert_as_it_was(&db, "missing tables").await;
        migrate(&db.pool).await.unwrap();
        db.execute("CREATE TABLE effects (id VARCHAR(64) NOT NULL)")
            .await;

        assert!(apply(&db.pool, &order).await.unwrap().is_executed());
        assert_as_it_was(&db, "an execution").await;
        assert!(!apply(&db.pool, &order).await.unwrap().is_executed());
        assert_as_it_was(&db, "a duplicate").await;
        keyless(&db.pool, &order).await.unwrap();
        assert_as_it_was(&db, "a call without a key").await;
        for refusal in [Refusal::Busy, Refusal::Closed] {
            let order = Order::refused("r", refusal);
            assert_eq!(end(record(&db.pool, &order).await), refused(refusal));
            assert_as_it_was(&db, "an error").await;
        }

        let elsewhere = db.another_pool(1).await;
        let mut holder = begin(&elsewhere).await;
        effect(&mut holder, "holder").await.unwrap();
        assert!(meet_soon(&mut holder, &order).await.unwrap().is_executed());
        for result in [
            meet_at_once(&db.pool, &order).await,
            meet_soon(&db.pool, &order).await,
        ] {
            assert_eq!(end(result), Err("InFlight".into()));
            assert_as_it_was(&db, "a wait").await;
        }
        let mut tx = begin(&db.pool).await;
        assert_eq!(
            end(meet_soon(&mut tx, &order).await),
            Err("InFlight".into())
        );
        assert_eq!(
            end(apply(&mut tx, &order).await),
            Ok(Outcome::Replayed(order.receipt()))
        );
        tx.commit().await.unwrap();
        assert_as_it_was(&db, "joined calls").await;
        holder.rollback().await.unwrap();
    }
}
