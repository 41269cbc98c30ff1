//! SQLite.
//!
//! * A statement that fails is undone alone and does not abort the transaction.
//! * One transaction writes at a time: a duplicate that waits elsewhere waits for the database, and
//!   can't tell for which key.

use idem_tests::TestDb;
use idem_tests::server::{self};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{Executor as _, SqliteConnection, SqlitePool};

#[path = "suite/mod.rs"]
mod suite;

pub(crate) type Conn = SqliteConnection;
pub(crate) type Pool = SqlitePool;
pub(crate) type Database = sqlx::Sqlite;
pub(crate) type Db = TestDb<Database>;

/// How often a race is run; its worker is a thread of its own.
pub(crate) const ROUNDS: usize = 150;
pub(crate) const BREAK_CONNECTION: Option<&'static str> = None;
/// Settings under which a server lets more pass.
pub(crate) const LENIENT: &[&str] = &[];
/// How long a statement may be, and which session it is in.
pub(crate) const STATEMENT_LIMIT: Option<(u64, &'static str)> = None;
pub(crate) const DEADLOCK: Option<[[&'static str; 2]; 2]> = None;

pub(crate) async fn start(connections: u32) -> Db {
    let db = TestDb::empty(connections).await;
    set_up(&db).await;
    db
}

async fn set_up(db: &Db) {
    db.migrate().await;
    db.execute(
        "CREATE TABLE effects (id TEXT NOT NULL);
         CREATE TABLE uniques (id INTEGER PRIMARY KEY);
         CREATE TABLE parents (id INTEGER PRIMARY KEY);
         CREATE TABLE children (parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)",
    )
    .await;
}

pub(crate) fn text_as_bytes(literal: &str) -> String {
    format!("CAST({literal} AS BLOB)")
}

mod only_here {
    use idem_runtime::{DeadLetterFilter, Error, idempotent};
    use idem_tests::poll::drop_at_pending;
    use sqlx::Connection as _;

    use super::*;

    #[idempotent(key = "id", scope = "laws.orphan")]
    async fn orphan(tx: &mut SqliteConnection, id: &str, parent: bool) -> Result<(), sqlx::Error> {
        if parent {
            tx.execute("INSERT INTO parents VALUES (1)").await?;
        }
        tx.execute("INSERT INTO children VALUES (1)")
            .await
            .map(drop)
    }

    /// Guards: a COMMIT that fails leaves SQLite's transaction open; it is rolled back and the
    /// error is the call's.
    #[tokio::test]
    async fn a_deferred_constraint_that_fails_at_commit_is_no_success() {
        let db = start(2).await;
        let failed = orphan(&db.pool, "o", false).await;
        let Err(Error::Store(error)) = failed else {
            panic!("{failed:?}");
        };
        assert!(
            error
                .as_database_error()
                .unwrap()
                .is_foreign_key_violation()
        );
        db.assert_no_open_transaction().await;
        assert!(orphan(&db.pool, "o", true).await.unwrap().is_executed());
    }

    #[idempotent(key = "id", scope = "laws.plain")]
    async fn plain(tx: &mut SqliteConnection, id: &str) -> Result<(), sqlx::Error> {
        let insert = sqlx::query("INSERT INTO effects (id) VALUES (?)");
        insert.bind(id).execute(&mut *tx).await.map(drop)
    }

    async fn committed(pool: &SqlitePool, id: &str) -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM effects WHERE id = ?");
        count.bind(id).fetch_one(pool).await.unwrap()
    }

    /// Guards: a call or a `begin()` that was dropped on a connection, at any point, has ended
    /// before the next call on that connection asks whether a transaction is open.
    #[tokio::test]
    async fn what_was_dropped_on_a_connection_does_not_reach_the_next_call_on_it() {
        let db = start(3).await;
        let mut pooled = db.pool.acquire().await.unwrap();
        let mut detached = db.pool.acquire().await.unwrap().detach();
        for (round, k) in (0..100).flat_map(|round| (1..8).map(move |k| (round, k))) {
            for (kind, conn) in [("pooled", &mut *pooled), ("detached", &mut detached)] {
                let [cut, next, last] =
                    ["cut", "next", "last"].map(|name| format!("{name}.{kind}{round}.{k}"));
                drop(drop_at_pending(k, plain(&mut *conn, &cut)).await);
                assert!(
                    plain(&mut *conn, &next).await.unwrap().is_executed(),
                    "{next}"
                );
                assert_eq!(committed(&db.pool, &next).await, 1, "{next}");
                let _outcome = plain(&mut *conn, &cut).await.unwrap();
                assert_eq!(committed(&db.pool, &cut).await, 1, "{cut}");
                drop(drop_at_pending(k, conn.begin()).await);
                assert!(
                    plain(&mut *conn, &last).await.unwrap().is_executed(),
                    "{last}"
                );
                assert_eq!(committed(&db.pool, &last).await, 1, "{last}");
            }
        }
        drop(pooled);
        detached.close().await.unwrap();
        db.assert_no_open_transaction().await;
    }

    /// Guards: a batch of this crate whose COMMIT meets a reader ends its transaction, too.
    #[tokio::test]
    async fn a_replay_of_dead_letters_that_cannot_commit_leaves_no_transaction_in_the_pool() {
        let database = server::sqlite();
        let options: SqliteConnectOptions = database.url().parse().unwrap();
        let options = options
            .journal_mode(SqliteJournalMode::Delete)
            .busy_timeout(std::time::Duration::ZERO);
        let single = SqlitePoolOptions::new().max_connections(1);
        let [pool, other] = [(); 2].map(|()| single.clone().connect_lazy_with(options.clone()));
        idem_runtime::migrate(&pool).await.unwrap();
        pool.execute(
            "CREATE TABLE effects (id TEXT NOT NULL);
             INSERT INTO effects VALUES ('seen');
             INSERT INTO idem_dead_letters \
               (origin, name, source, id, topic, type, payload, content_type, headers, created_at, attempts, reason)
             VALUES ('relay', 'default', '', '00000000-0000-0000-0000-000000000000', 't', 'T', X'', 'text/plain', '{}', 0, 1, 'no')",
        )
        .await
        .unwrap();
        let mut reader = other.begin().await.unwrap();
        reader.fetch_all("SELECT * FROM effects").await.unwrap();
        let busy = idem_runtime::replay_dead_letters(&pool, DeadLetterFilter::All).await;
        assert!(matches!(busy, Err(Error::Store(_))), "{busy:?}");
        reader.rollback().await.unwrap();
        pool.execute("INSERT INTO effects VALUES ('next')")
            .await
            .unwrap();
        assert_eq!(committed(&other, "next").await, 1);
        let replayed = idem_runtime::replay_dead_letters(&pool, DeadLetterFilter::All).await;
        assert_eq!(replayed.unwrap(), 1);
    }
}
