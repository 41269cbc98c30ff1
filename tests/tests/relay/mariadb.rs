//! MariaDB.

use idem_testing::__internals::Protocol;
use idem_tests::TestDb;
use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, MySqlPool, Row as _, raw_sql};

#[path = "crash.rs"]
mod crash;
#[path = "failover.rs"]
mod failover;
#[path = "flat.rs"]
mod flat;
#[path = "late.rs"]
mod late;
#[path = "lost_answers.rs"]
mod lost_answers;
#[path = "suite/mod.rs"]
mod suite;

pub(crate) type Conn = sqlx::MySqlConnection;
pub(crate) type Pool = MySqlPool;

pub(crate) type Db = TestDb<sqlx::MySql>;

/// Others see at once when the session is gone.
pub(crate) const LEASE_AFTER_A_CRASH: std::time::Duration = std::time::Duration::from_mins(1);

pub(crate) const BEGIN: &str = "START TRANSACTION";

pub(crate) const RESET_SEQUENCE: &str = "TRUNCATE idem_outbox";

pub(crate) const READ_ONLY: &str = "SET SESSION TRANSACTION READ ONLY";

pub(crate) const PROTOCOL: Protocol = Protocol::MySql;

pub(crate) const NOW: &str = "UTC_TIMESTAMP(6)";

/// What is in the statements of a relay, and in no others.
pub(crate) const LOOK: &str = "@@global.innodb_lock_wait_timeout";
pub(crate) const SETTLEMENT: &str = "DELETE event FROM idem_outbox";
pub(crate) const RENEWAL: &str = "REPLACE INTO idem_relays";

/// 100 kB in each row.
pub(crate) const LARGE_HEADERS: &str =
    "UPDATE idem_outbox SET headers = CONCAT('{\"x\":\"', REPEAT('x', 100000), '\"}')";

pub(crate) const READ_UNCOMMITTED: &str =
    "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED";

pub(crate) async fn start() -> Db {
    let db = empty().await;
    db.migrate().await;
    db
}

/// Without our tables.
pub(crate) async fn empty() -> Db {
    TestDb::empty(4).await
}

mod only_here {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use idem_runtime::{
        DeadLetterFilter, PublishError, count_dead_letters, dead_letters, replay_dead_letters,
    };
    use sqlx::mysql::MySqlPoolOptions;
    use sqlx::{Row as _, raw_sql};

    use super::suite::{emit, relay, unpublished};
    use super::{MySqlPool, start};
    use crate::receivers::{Log, To, within};

    async fn assert_at_rest(pool: &MySqlPool, after: &str) {
        let sql = "SELECT CAST(@@autocommit AS SIGNED), CAST(@@in_transaction AS SIGNED)";
        let found = raw_sql(sql).fetch_one(pool).await.unwrap();
        let found: [i64; 2] = [found.get(0), found.get(1)];
        assert_eq!(found, [0, 0], "after {after}");
    }

    /// Guards: the COMMIT after each statement. Without it the lease and the marks are rolled back
    /// with the connection, a look goes on seeing what the first one saw, and `SET TRANSACTION`
    /// fails.
    #[tokio::test]
    async fn in_sessions_without_autocommit_events_are_published_buried_and_replayed() {
        let db = start().await;
        let pool = MySqlPoolOptions::new()
            .max_connections(1)
            .after_connect(|conn, _| {
                Box::pin(async move {
                    raw_sql("SET autocommit = 0").execute(conn).await?;
                    Ok(())
                })
            })
            .connect(db.database().url())
            .await
            .unwrap();
        let log = Log::new();
        let broken = Arc::new(AtomicBool::new(true));
        let is_broken = broken.clone();
        let publisher = To::new(&log, move |message| {
            if message.topic == "loose.happenings" && is_broken.load(Ordering::Relaxed) {
                Err(PublishError::permanent("not understood"))
            } else {
                Ok(())
            }
        });
        let relay = relay(&pool, publisher);
        for n in 0..2 {
            emit(&db.pool, &[(Some("a"), n), (None, n)]).await.unwrap();
            let relayed = within(relay.drain()).await.unwrap();
            assert_eq!((relayed.published, relayed.dead_lettered), (1, 1));
            assert_at_rest(&pool, "drain").await;
            assert_eq!(unpublished(&db.pool).await, 0);
            let leases = raw_sql("SELECT target FROM idem_relays").fetch_all(&db.pool);
            assert!(leases.await.unwrap().is_empty());
        }
        assert_eq!(count_dead_letters(&pool).await.unwrap(), 2);
        assert_at_rest(&pool, "count_dead_letters").await;
        assert_eq!(dead_letters(&pool, 0, 10).await.unwrap().len(), 2);
        assert_at_rest(&pool, "dead_letters").await;
        broken.store(false, Ordering::Relaxed);
        let back = replay_dead_letters(&pool, DeadLetterFilter::All)
            .await
            .unwrap();
        assert_eq!(back, 2);
        assert_at_rest(&pool, "replay_dead_letters").await;
        assert_eq!(unpublished(&db.pool).await, 2);
        assert_eq!(within(relay.drain()).await.unwrap().published, 2);
        assert_eq!(unpublished(&db.pool).await, 0);
    }

    /// Guards: a connection on which the server refused something in the middle of a batch is rolled
    /// back or closed. Else it goes back to the pool with the transaction, and the rows stay locked.
    #[tokio::test]
    async fn what_the_server_refuses_leaves_no_transaction_open() {
        let db = start().await;
        let log = Log::new();
        let publisher = To::new(&log, |_| Err(PublishError::permanent("not understood")));
        emit(&db.pool, &[(None, 0)]).await.unwrap();
        within(relay(&db.pool, publisher).drain()).await.unwrap();
        raw_sql("RENAME TABLE idem_outbox TO elsewhere")
            .execute(&db.pool)
            .await
            .unwrap();
        let pool = MySqlPoolOptions::new().max_connections(1);
        let pool = pool.connect(db.database().url()).await.unwrap();
        replay_dead_letters(&pool, DeadLetterFilter::All)
            .await
            .unwrap_err();
        let sql = "SELECT CAST(@@in_transaction AS SIGNED)";
        let row = raw_sql(sql).fetch_one(&pool).await.unwrap();
        assert_eq!(row.get::<i64, _>(0), 0);
    }
}

/// How often this statement asks the storage engine for a row.
pub(crate) async fn rows_read(db: &Db, look: &str) -> u64 {
    let mut conn = db.pool.acquire().await.unwrap();
    raw_sql("FLUSH STATUS").execute(&mut *conn).await.unwrap();
    raw_sql(AssertSqlSafe(look))
        .fetch_all(&mut *conn)
        .await
        .unwrap();
    let counts = raw_sql("SHOW SESSION STATUS LIKE 'Handler_read%'");
    let counts = counts.fetch_all(&mut *conn).await.unwrap();
    let count = |row: &MySqlRow| row.get::<String, _>(1).parse::<u64>().unwrap();
    counts.iter().map(count).sum()
}
