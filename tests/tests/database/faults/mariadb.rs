//! MariaDB, and MySQL by the same SQL.
//!
//! * A statement that fails for anything but a deadlock is undone alone and does not abort the
//!   transaction.
//! * DDL commits: it can't be part of a transaction, so a handler with DDL surfaces.
//! * In a *joined* call a swallowed deadlock surfaces, but what the handler did after it is already
//!   committed: autocommit can't be turned off inside the caller's transaction and on again before
//!   its COMMIT.

use idem_tests::TestDb;

use sqlx::{Executor as _, MySqlConnection, MySqlPool};

#[path = "suite/mod.rs"]
mod suite;

pub(crate) type Conn = MySqlConnection;
pub(crate) type Pool = MySqlPool;
pub(crate) type Database = sqlx::MySql;
pub(crate) type Db = TestDb<Database>;

/// How often a race is run.
pub(crate) const ROUNDS: usize = 30;
pub(crate) const BREAK_CONNECTION: Option<&'static str> = Some("KILL CONNECTION_ID()");
/// Settings under which a server lets more pass.
pub(crate) const LENIENT: &[&str] = &[
    "SET sql_mode = ''",
    "SET sql_mode = 'NO_UNSIGNED_SUBTRACTION,HIGH_NOT_PRECEDENCE'",
];
/// How long a statement may be, and which session it is in.
pub(crate) const STATEMENT_LIMIT: Option<(u64, &'static str)> =
    Some((16 * 1024 * 1024, "SELECT CAST(CONNECTION_ID() AS SIGNED)"));
pub(crate) const DEADLOCK: Option<[[&'static str; 2]; 2]> = Some([
    [
        "UPDATE uniques SET n = n + 1 WHERE id = 11",
        "UPDATE uniques SET n = n + 1 WHERE id = 12",
    ],
    [
        "UPDATE uniques SET n = n + 1 WHERE id = 12",
        "UPDATE uniques SET n = n + 1 WHERE id = 11",
    ],
]);

pub(crate) async fn start(connections: u32) -> Db {
    let db = TestDb::empty(connections).await;
    set_up(&db).await;
    db
}

async fn set_up(db: &Db) {
    db.migrate().await;
    for table in [
        "CREATE TABLE effects (id VARCHAR(64) NOT NULL)",
        "CREATE TABLE uniques (id INTEGER PRIMARY KEY, n INTEGER NOT NULL DEFAULT 0)",
        "INSERT INTO uniques (id) VALUES (11), (12)",
    ] {
        db.execute(table).await;
    }
}

pub(crate) fn text_as_bytes(literal: &str) -> String {
    literal.into()
}

mod only_here {
    use std::sync::Arc;
    use std::time::Duration;

    use idem_runtime::{Error, idempotent};
    use sqlx::Row as _;
    use tokio::sync::Semaphore;

    use super::*;

    #[idempotent(key = "id", scope = "laws.swallows_deadlock")]
    async fn swallows_deadlock(
        tx: &mut MySqlConnection,
        id: &str,
        here: &Semaphore,
        go_on: &Semaphore,
    ) -> Result<(), sqlx::Error> {
        tx.execute("INSERT INTO effects (id) VALUES ('before')")
            .await?;
        tx.execute("UPDATE uniques SET n = n + 1 WHERE id = 11")
            .await?;
        here.add_permits(1);
        go_on.acquire().await.expect("never closed").forget();
        let deadlock = tx
            .execute("UPDATE uniques SET n = n + 1 WHERE id = 12")
            .await;
        assert!(deadlock.is_err(), "the heavier transaction wins");
        tx.execute("INSERT INTO effects (id) VALUES ('after')")
            .await?;
        Ok(())
    }

    #[idempotent(key = "id", scope = "laws.sets_its_own_timeout")]
    async fn sets_its_own_timeout(tx: &mut MySqlConnection, id: &str) -> Result<(), sqlx::Error> {
        tx.execute("SET innodb_lock_wait_timeout = 7").await?;
        Err(sqlx::Error::RowNotFound)
    }

    /// Guards: the timeout of the claim is taken back right after the claim, and by a rollback only
    /// if the claim failed.
    #[tokio::test]
    async fn a_lock_timeout_that_a_handler_sets_is_still_there_after_a_rollback() {
        let db = start(1).await;
        let failed = sets_its_own_timeout(&db.pool, "o").await;
        assert!(matches!(failed, Err(Error::Handler { .. })), "{failed:?}");
        let (timeout,): (u64,) = sqlx::query_as("SELECT @@innodb_lock_wait_timeout")
            .fetch_one(&db.pool)
            .await
            .unwrap();
        assert_eq!(timeout, 7);
    }

    /// The view of transactions would show nothing new to those who ask again and again.
    async fn waits_for_a_lock(db: &Db, session: i64) -> bool {
        let status = sqlx::raw_sql("SHOW ENGINE INNODB STATUS");
        let status = status.fetch_one(&db.pool).await.unwrap();
        let thread = format!("thread id {session},");
        let status: &str = status.get(2);
        let mut transactions = status.split("---TRANSACTION");
        transactions.any(|one| one.contains("LOCK WAIT") && one.contains(&thread))
    }

    /// Runs the handler on `begin` so that its second UPDATE is a deadlock that it loses.
    async fn deadlocked(db: &Db, joined: bool) -> (Result<(), Error<sqlx::Error>>, i64, i64) {
        for id in 100..400 {
            let insert = format!("INSERT INTO uniques (id) VALUES ({id})");
            db.pool.execute(sqlx::AssertSqlSafe(insert)).await.unwrap();
        }
        let (here, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let call = tokio::spawn({
            let (pool, here, go_on) = (db.pool.clone(), here.clone(), go_on.clone());
            async move {
                if joined {
                    let mut tx = pool.begin().await.unwrap();
                    let result = swallows_deadlock(&mut tx, "o", &here, &go_on).await;
                    // The savepoint that the call would go back to went with the transaction.
                    assert!(tx.commit().await.is_err());
                    result.map(drop)
                } else {
                    swallows_deadlock(&pool, "o", &here, &go_on).await.map(drop)
                }
            }
        });
        here.acquire().await.unwrap().forget();
        let mut heavier = db.pool.begin().await.unwrap();
        let (session,): (i64,) = sqlx::query_as("SELECT CAST(CONNECTION_ID() AS SIGNED)")
            .fetch_one(&mut *heavier)
            .await
            .unwrap();
        heavier
            .execute("UPDATE uniques SET n = n + 1 WHERE id >= 12")
            .await
            .unwrap();
        let ((), waited) = tokio::join!(
            async {
                // The heavier one must wait for row 11 before the handler asks for row 12.
                while !waits_for_a_lock(db, session).await {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                go_on.add_permits(1);
            },
            heavier.execute("UPDATE uniques SET n = n + 1 WHERE id = 11")
        );
        waited.unwrap();
        heavier.commit().await.unwrap();
        let result = call.await.unwrap();
        let mut found = Vec::new();
        for id in ["before", "after"] {
            let (n,): (i64,) = sqlx::query_as("SELECT count(*) FROM effects WHERE id = ?")
                .bind(id)
                .fetch_one(&db.pool)
                .await
                .unwrap();
            found.push(n);
        }
        (result, found[0], found[1])
    }

    /// Guards: `autocommit=0` on our own transactions, and the fence. After a deadlock the server
    /// has rolled back, sqlx still counts a transaction, and the next statement would commit by
    /// itself.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_swallowed_deadlock_is_no_success_and_commits_nothing() {
        let db = start(6).await;
        let (result, before, after) = deadlocked(&db, false).await;
        assert!(matches!(result, Err(Error::RolledBack)), "{result:?}");
        assert_eq!((before, after), (0, 0));
        db.assert_no_open_transaction().await;
    }

    /// The limit that the head of this file names: it surfaces, but `after` is there.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_swallowed_deadlock_in_a_joined_call_surfaces() {
        let db = start(6).await;
        let (result, before, after) = deadlocked(&db, true).await;
        assert!(matches!(result, Err(Error::RolledBack)), "{result:?}");
        assert_eq!((before, after), (0, 1));
    }
}
