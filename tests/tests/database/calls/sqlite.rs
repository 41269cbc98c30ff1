//! SQLite.
//!
//! One transaction writes at a time, so a claim waits for whoever writes and can't tell whether
//! that one holds the same key: the duplicate of a call in another process ends as an error of the
//! database, not as `InFlight`. Calls of one process wait for each other before that, by key, as
//! everywhere.
//!
//! A transaction that began by reading keeps what it read, and loses the right to write when
//! another one does. Where it is the caller's, the claim in it fails; `BEGIN IMMEDIATE` avoids
//! that.

use std::time::Duration;

use idem_tests::{TestDb, server};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};

suite!();

pub(crate) type Db = TestDb<sqlx::Sqlite>;
pub(crate) type Conn = sqlx::SqliteConnection;
pub(crate) type Pool = sqlx::SqlitePool;

/// Whether a claim that waits for another transaction knows that it is one of the same key.
pub(crate) const WAITS_FOR_KEYS: bool = false;

/// Whether a transaction that has read may still claim after another one wrote.
pub(crate) const CLAIMS_AFTER_READING: bool = false;

/// An empty database and a pool of this many connections to it.
pub(crate) async fn empty(connections: u32) -> Db {
    TestDb::empty(connections).await
}

/// Waits for a writer only as long as it takes to see one: the tests that use it have one that
/// stays.
pub(crate) async fn another_pool(db: &Db) -> Pool {
    let options = db.options().busy_timeout(Duration::from_millis(50));
    connect(&options, 2).await
}

async fn connect(options: &SqliteConnectOptions, connections: u32) -> Pool {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .connect_with(options.clone())
        .await
        .unwrap()
}

pub(crate) const CLAIMS: &str = "SELECT scope, lower(hex(key)), \
    iif(fingerprint IS NULL, NULL, lower(hex(fingerprint))), state, result_version, CAST(result AS TEXT), \
    (expires_at - created_at + 1800000000) / 3600000000 \
    FROM idem_keys ORDER BY scope, key";

pub(crate) const EMITTED: &str = "SELECT lower(hex(id)), topic, key, type, CAST(payload AS TEXT), content_type, headers \
    FROM idem_outbox ORDER BY seq";

pub(crate) const KEYS_LIKE_OURS: &str =
    "CREATE TABLE many_keys AS SELECT key AS bytes FROM idem_keys WHERE false";

pub(crate) const NAMESPACE: &str = "SELECT lower(hex(namespace)) FROM idem_schema";

pub(crate) const VERSIONS: &str = "SELECT version FROM idem_schema";

pub(crate) const EIGHT_DAYS_AGO: &str = "strftime('%s', 'now', '-8 days') * 1000000";

pub(crate) const KEY: &str = "key";

pub(crate) fn id(hex: &str) -> String {
    bytes(hex)
}

pub(crate) fn bytes(hex: &str) -> String {
    format!("X'{hex}'")
}

mod only_here {
    use std::pin::pin;

    use idem_runtime::{Error, migrate};
    use sqlx::raw_sql;
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    use super::handlers::apply;
    use super::*;
    use crate::model::Order;

    /// Connections that share a cache lock tables, not the file, and no busy timeout applies to
    /// that.
    #[tokio::test]
    async fn a_database_in_memory_serves_several_connections() {
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .min_connections(1)
            .connect("sqlite::memory:")
            .await
            .unwrap();
        migrate(&pool).await.unwrap();
        raw_sql("CREATE TABLE effects (id VARCHAR(64) NOT NULL)")
            .execute(&pool)
            .await
            .unwrap();
        let mut deliveries = JoinSet::new();
        for number in 0..200 {
            let (pool, order) = (pool.clone(), Order::new(&format!("{}", number % 20)));
            deliveries.spawn(async move { apply(&pool, &order).await.unwrap().is_executed() });
        }
        let executed = deliveries.join_all().await;
        assert_eq!(executed.iter().filter(|executed| **executed).count(), 20);
    }

    /// Guards: the question comes before BEGIN IMMEDIATE, which asks for the write lock before it looks
    /// for a transaction. A lock that can't be had must not hide one.
    #[tokio::test]
    async fn a_callers_raw_transaction_is_left_alone_also_while_another_connection_writes() {
        let db = start().await;
        db.execute("PRAGMA journal_mode = WAL").await;
        let other = another_pool(&db).await;
        let mut conn = other.acquire().await.unwrap();
        for stale in [true, false] {
            for sql in ["BEGIN", "SELECT count(*) FROM effects"] {
                raw_sql(sql).execute(&mut *conn).await.unwrap();
            }
            let mut writer = db.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
            let written = "INSERT INTO effects VALUES ('somebody else')";
            raw_sql(written).execute(&mut *writer).await.unwrap();
            let ended = if stale {
                writer.commit().await.unwrap();
                apply(&mut conn, &Order::new("o")).await
            } else {
                let ended = apply(&mut conn, &Order::new("o")).await;
                writer.rollback().await.unwrap();
                ended
            };
            assert!(matches!(ended, Err(Error::ForeignTransaction)), "{ended:?}");
            // It is still open.
            raw_sql("ROLLBACK").execute(&mut *conn).await.unwrap();
        }
        let executed = apply(&mut conn, &Order::new("o")).await.unwrap();
        assert!(executed.is_executed());
    }

    /// Guards: a claim has its attempts at least, and more until its deadline.
    #[tokio::test]
    async fn a_claim_that_meets_a_writer_is_tried_until_its_deadline() {
        let db = start().await;
        let options = db.options().busy_timeout(Duration::ZERO);
        let impatient = connect(&options, 1).await;
        let writer = db.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let order = Order::new("o");
        let mut delivery = pin!(apply(&impatient, &order));
        // The attempts alone are over in a tenth of that.
        let ended = timeout(Duration::from_millis(500), &mut delivery).await;
        assert!(ended.is_err(), "{ended:?}");
        writer.rollback().await.unwrap();
        assert!(delivery.await.unwrap().is_executed());
    }

    /// Guards: a question that a writer keeps from being answered is left to the claim, which
    /// waits.
    #[tokio::test]
    async fn a_duplicate_that_asks_first_and_meets_a_writer_waits_for_it() {
        let database = server::sqlite();
        let options: SqliteConnectOptions = database.url().parse().unwrap();
        // Without a log of writes, a writer that commits keeps readers out, too.
        let options = options.journal_mode(SqliteJournalMode::Delete);
        let pool = connect(&options.busy_timeout(Duration::ZERO), 2).await;
        migrate(&pool).await.unwrap();
        let effects = "CREATE TABLE effects (id VARCHAR(64) NOT NULL)";
        raw_sql(effects).execute(&pool).await.unwrap();
        let order = Order::new("o");
        for _ in 0..10 {
            let _ = apply(&pool, &order).await.unwrap();
        }
        let writer = pool.begin_with("BEGIN EXCLUSIVE").await.unwrap();
        let mut delivery = pin!(apply(&pool, &order));
        let ended = timeout(Duration::from_millis(300), &mut delivery).await;
        assert!(ended.is_err(), "{ended:?}");
        writer.rollback().await.unwrap();
        assert!(delivery.await.unwrap().is_replayed());
    }

    /// Guards: what the database refused is rolled back. A connection that was closed instead would
    /// take a database in memory with it.
    #[tokio::test]
    async fn a_claim_that_is_refused_gives_its_connection_back() {
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect("sqlite::memory:")
            .await
            .unwrap();
        let effects = "CREATE TABLE effects (id VARCHAR(64) NOT NULL)";
        raw_sql(effects).execute(&pool).await.unwrap();
        let order = Order::new("o");
        let refused = apply(&pool, &order).await;
        assert!(matches!(refused, Err(Error::NotMigrated)), "{refused:?}");

        migrate(&pool).await.unwrap();
        // So many duplicates that the next delivery asks before it claims.
        for _ in 0..10 {
            let _ = apply(&pool, &order).await.unwrap();
        }
        raw_sql("DROP TABLE idem_keys")
            .execute(&pool)
            .await
            .unwrap();
        let refused = apply(&pool, &order).await;
        assert!(matches!(refused, Err(Error::NotMigrated)), "{refused:?}");
        let found = raw_sql("SELECT id FROM effects").fetch_all(&pool).await;
        assert_eq!(found.unwrap().len(), 1);
    }

    /// sqlx runs a batch again that met such a lock, from its start: BEGIN would fail the second
    /// time.
    #[tokio::test]
    async fn a_claim_that_meets_a_reader_of_its_table_waits_for_it() {
        let pool = SqlitePoolOptions::new()
            .connect("sqlite::memory:")
            .await
            .unwrap();
        migrate(&pool).await.unwrap();
        raw_sql("CREATE TABLE effects (id VARCHAR(64) NOT NULL)")
            .execute(&pool)
            .await
            .unwrap();
        let mut reader = pool.begin().await.unwrap();
        let read = raw_sql("SELECT state FROM idem_keys");
        read.fetch_all(&mut *reader).await.unwrap();
        let delivery = {
            let pool = pool.clone();
            tokio::spawn(async move { apply(&pool, &Order::new("o")).await.unwrap().is_executed() })
        };
        let in_use = || pool.size() as usize - pool.num_idle();
        // Were the reader to go too early, the claim would meet nobody, and pass.
        while in_use() < 2 {
            tokio::task::yield_now().await;
        }
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
        reader.commit().await.unwrap();
        assert!(delivery.await.unwrap());
    }
}
