//! PostgreSQL keeps every law.

use idem_tests::TestDb;
use idem_tests::server::{Options, Postgres};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, PgPool, raw_sql};

#[path = "suite/mod.rs"]
mod suite;

pub(crate) type Conn = PgConnection;
pub(crate) type Pool = PgPool;
pub(crate) type Database = sqlx::Postgres;
pub(crate) type Db = TestDb<Database>;

/// How often a race is run.
pub(crate) const ROUNDS: usize = 30;
pub(crate) const BREAK_CONNECTION: Option<&'static str> =
    Some("SELECT pg_terminate_backend(pg_backend_pid())");
/// Settings under which a server lets more pass.
pub(crate) const LENIENT: &[&str] = &[];
/// How long a statement may be, and which session it is in.
pub(crate) const STATEMENT_LIMIT: Option<(u64, &'static str)> = None;
pub(crate) const DEADLOCK: Option<[[&'static str; 2]; 2]> = Some([
    [
        "UPDATE uniques SET id = id WHERE id = 11",
        "UPDATE uniques SET id = id WHERE id = 12",
    ],
    [
        "UPDATE uniques SET id = id WHERE id = 12",
        "UPDATE uniques SET id = id WHERE id = 11",
    ],
]);

pub(crate) async fn start(connections: u32) -> Db {
    let db = TestDb::empty(connections).await;
    set_up(&db).await;
    db
}

async fn set_up(db: &Db) {
    db.migrate().await;
    db.execute(
        "CREATE TABLE effects (id text NOT NULL);
         CREATE TABLE uniques (id integer PRIMARY KEY);
         INSERT INTO uniques VALUES (11), (12);
         CREATE TABLE parents (id integer PRIMARY KEY);
         CREATE TABLE children (parent integer REFERENCES parents DEFERRABLE INITIALLY DEFERRED)",
    )
    .await;
}

pub(crate) fn text_as_bytes(literal: &str) -> String {
    format!("convert_to({literal}, 'UTF8')")
}

mod only_here {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use idem_runtime::{Error, Outcome, idempotent};

    use super::*;

    #[idempotent(key = "id", scope = "laws.runs", in_flight = "wait 20s")]
    async fn runs(tx: &mut PgConnection, id: &str, sql: &str) -> Result<String, sqlx::Error> {
        tx.execute(AssertSqlSafe(format!(
            "INSERT INTO effects VALUES ('{id}')"
        )))
        .await?;
        raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut *tx)
            .await?;
        Ok("the-stored-result".into())
    }

    #[idempotent(key = "id", scope = "laws.swallows")]
    async fn swallows(tx: &mut PgConnection, id: &str, sql: &str) -> Result<(), sqlx::Error> {
        let _ignored = raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut *tx)
            .await;
        tx.execute("SELECT 1").await.map(drop).or(Ok(()))
    }

    async fn effects(pool: &PgPool) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM effects")
            .fetch_one(pool)
            .await
            .unwrap()
    }

    /// Guards: the end and COMMIT are one request, and an error of either is an error of the call.
    #[tokio::test]
    async fn a_deferred_constraint_that_fails_at_commit_is_no_success() {
        let db = start(4).await;
        let failed = runs(&db.pool, "o", "INSERT INTO children VALUES (1)").await;
        let Err(Error::Store(error)) = failed else {
            panic!("{failed:?}");
        };
        assert!(
            error
                .as_database_error()
                .unwrap()
                .is_foreign_key_violation()
        );
        assert_eq!(effects(&db.pool).await, 0);
        let next = runs(&db.pool, "o", "SELECT 1").await.unwrap();
        assert!(next.is_executed());
        db.assert_no_open_transaction().await;
    }

    /// Guards: codes decide, never the text of a message.
    #[tokio::test]
    async fn a_server_that_answers_in_german_changes_nothing() {
        let server = Postgres::start(Options::default().messages("de_DE"))
            .await
            .unwrap();
        let db = Db::on(server.database().await, 4).await;
        set_up(&db).await;
        assert!(runs(&db.pool, "o", "SELECT 1").await.unwrap().is_executed());
        assert!(runs(&db.pool, "o", "SELECT 1").await.unwrap().is_replayed());
        let lost = swallows(&db.pool, "s", "SELECT kein_feld FROM effects").await;
        assert!(matches!(lost, Err(Error::RolledBack)), "{lost:?}");
        let violation = runs(&db.pool, "u", "INSERT INTO uniques VALUES (11)").await;
        let Err(Error::Handler { error, .. }) = violation else {
            panic!("{violation:?}");
        };
        assert!(
            error.to_string().contains("doppelter Schlüsselwert"),
            "{error}"
        );
        db.pool.execute("DROP TABLE idem_keys").await.unwrap();
        let missing = runs(&db.pool, "n", "SELECT 1").await;
        assert!(matches!(missing, Err(Error::NotMigrated)), "{missing:?}");
    }

    #[derive(Debug, thiserror::Error)]
    enum TransferError {
        #[error(transparent)]
        Database(#[from] sqlx::Error),
    }

    #[derive(Debug, thiserror::Error)]
    enum OrderError {
        #[error("the transfer failed")]
        Transfer(#[from] Error<TransferError>),
    }

    /// The first attempt meets a serialization failure.
    #[idempotent(key = "id", scope = "laws.transfer")]
    async fn transfer(
        tx: &mut PgConnection,
        id: &str,
        attempts: &AtomicU32,
    ) -> Result<u32, TransferError> {
        let attempt = attempts.fetch_add(1, Ordering::Relaxed) + 1;
        if attempt == 1 {
            tx.execute("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$")
                .await?;
        }
        Ok(attempt)
    }

    #[idempotent(key = "id", scope = "laws.order", retry = 1)]
    async fn order(
        tx: &mut PgConnection,
        id: &str,
        attempts: &AtomicU32,
    ) -> Result<u32, OrderError> {
        Ok(transfer(tx, id, attempts).await?.into_inner())
    }

    /// Guards: each handler registers the type of its error, and `retry` looks into it.
    #[tokio::test]
    async fn a_conflict_behind_an_inner_handlers_own_error_type_is_tried_again() {
        let db = start(2).await;
        let attempts = AtomicU32::new(0);
        let ended = order(&db.pool, "o", &attempts).await;
        assert_eq!(ended.unwrap(), Outcome::Executed(2));
        let attempts = AtomicU32::new(0);
        let ended = transfer(&db.pool, "p", &attempts).await;
        assert!(ended.is_err(), "no `retry`, no second attempt: {ended:?}");
    }

    /// Guards: our statements run unseen by the subscriber. sqlx logs the text of one that takes
    /// longer than a second, and ours carry keys and results.
    #[tokio::test]
    async fn a_slow_disk_puts_no_result_into_the_log() {
        #[derive(Clone, Default)]
        struct Log(Arc<Mutex<Vec<u8>>>);

        impl std::io::Write for Log {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        let db = start(2).await;
        db.pool
            .execute(
                "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
                 $$BEGIN PERFORM pg_sleep(1.1); RETURN new; END$$; \
                 CREATE TRIGGER slow BEFORE UPDATE ON idem_keys FOR EACH ROW EXECUTE FUNCTION slow()",
            )
            .await
            .unwrap();
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_writer(move || writer.clone())
            .finish();
        let guard = idem_tests::subscribe(subscriber);
        let outcome = runs(&db.pool, "the-key", "SELECT pg_sleep(1.1)")
            .await
            .unwrap();
        drop(guard);
        assert_eq!(outcome, Outcome::Executed("the-stored-result".into()));
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(
            log.contains("slow statement"),
            "the handler's own slow statement is logged: {log}"
        );
        for secret in ["the-key", "the-stored-result"] {
            let hexed = hex::encode(secret);
            assert!(
                !log.contains(secret) && !log.contains(&hexed),
                "{secret} in: {log}"
            );
        }
    }

    /// A session that waits for locks 7 s and finds another `idem_keys` before ours.
    async fn particular(db: &Db) -> PgPool {
        db.pool
            .execute(
                "CREATE SCHEMA decoy; CREATE TABLE decoy.idem_keys (LIKE idem_keys INCLUDING ALL); \
                CREATE TABLE decoy.idem_outbox (LIKE idem_outbox INCLUDING ALL)",
            )
            .await
            .unwrap();
        PgPoolOptions::new()
            .max_connections(1)
            .after_connect(|conn, _| {
                Box::pin(async move {
                    conn.execute("SET lock_timeout = '7s'; SET search_path = decoy, public")
                        .await
                        .map(drop)
                })
            })
            .connect_with(db.options())
            .await
            .unwrap()
    }

    #[idempotent(key = "id", scope = "laws.shows")]
    async fn shows(tx: &mut PgConnection, id: &str) -> Result<String, sqlx::Error> {
        let _ = id;
        sqlx::query_scalar("SHOW lock_timeout").fetch_one(tx).await
    }

    /// Guards: a claim puts `lock_timeout` back.
    #[tokio::test]
    async fn a_handler_waits_for_its_own_locks_as_long_as_its_session_says() {
        let db = start(2).await;
        let pool = particular(&db).await;
        let mut tx = pool.begin().await.unwrap();
        let joined = shows(&mut tx, "joined").await.unwrap();
        assert_eq!(joined, Outcome::Executed("7s".into()));
        tx.commit().await.unwrap();
        let own = shows(&pool, "own").await.unwrap();
        assert_eq!(own, Outcome::Executed("7s".into()));
        let after: String = sqlx::query_scalar("SHOW lock_timeout")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(after, "7s");
    }

    /// Guards: the procedures name the schema of their tables.
    #[tokio::test]
    async fn a_search_path_leads_a_claim_to_no_other_tables() {
        let db = start(2).await;
        let pool = particular(&db).await;
        assert!(shows(&pool, "o").await.unwrap().is_executed());
        assert!(shows(&pool, "o").await.unwrap().is_replayed());
        let claims: Vec<i64> = sqlx::query_scalar(
            "SELECT count(*) FROM public.idem_keys UNION ALL SELECT count(*) FROM decoy.idem_keys",
        )
        .fetch_all(&pool)
        .await
        .unwrap();
        assert_eq!(claims, [1, 0]);
    }

    /// Guards: the wait for a holder elsewhere is bounded, and so is what a dropped call leaves on
    /// the server.
    #[tokio::test]
    async fn calls_dropped_while_they_wait_leave_no_session_behind() {
        let db = start(3).await;
        let other = db.another_pool(4).await;
        let mut holder = other.begin().await.unwrap();
        let _held = waits_briefly(&mut holder, "o").await.unwrap();
        for _ in 0..12 {
            let waiting = waits_briefly(&db.pool, "o");
            let _dropped = tokio::time::timeout(Duration::from_millis(50), waiting).await;
        }
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            let (waiting,): (i64,) = sqlx::query_as(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
            )
            .fetch_one(&other)
            .await
            .unwrap();
            if waiting == 0 {
                break;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{waiting} sessions wait on"
            );
        }
        drop(holder);
    }

    #[idempotent(key = "id", scope = "laws.waits_briefly", in_flight = "wait 1s")]
    async fn waits_briefly(tx: &mut PgConnection, id: &str) -> Result<(), sqlx::Error> {
        tx.execute("SELECT 1").await.map(drop)
    }
}
