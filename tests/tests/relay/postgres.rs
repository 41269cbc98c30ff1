//! PostgreSQL.

use std::time::Duration;

use idem_runtime::Relay;
use idem_tests::TestDb;
use idem_tests::server::{Options, Postgres};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio_util::sync::CancellationToken;

use crate::receivers::{Log, To, within};

#[path = "late.rs"]
mod late;
#[path = "suite/mod.rs"]
pub(crate) mod suite;

pub(crate) type Conn = sqlx::PgConnection;
pub(crate) type Pool = PgPool;

pub(crate) type Db = TestDb<sqlx::Postgres>;

/// Others see at once when the session is gone.
pub(crate) const LEASE_AFTER_A_CRASH: std::time::Duration = std::time::Duration::from_mins(1);

pub(crate) const BEGIN: &str = "BEGIN";

pub(crate) const RESET_SEQUENCE: &str = "TRUNCATE idem_outbox RESTART IDENTITY";

/// 100 kB in each row.
pub(crate) const LARGE_HEADERS: &str =
    "UPDATE idem_outbox SET headers = '{\"x\":\"' || repeat('x', 100000) || '\"}'";

pub(crate) const READ_UNCOMMITTED: &str =
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ UNCOMMITTED";

pub(crate) async fn start() -> Db {
    let db = empty().await;
    db.migrate().await;
    db
}

/// Without our tables.
pub(crate) async fn empty() -> Db {
    TestDb::empty(4).await
}

/// Guards: a running relay waits and tries again where a database that it had reached is gone.
#[tokio::test]
async fn a_running_relay_survives_a_restart_of_the_database() {
    let mut server = Postgres::start(Options::default().durable()).await.unwrap();
    let database = server.database().await;
    let pool = Db::pool_of(database.url(), 4).await;
    idem_runtime::migrate(&pool).await.unwrap();
    suite::emit(&pool, &[(Some("a"), 1)]).await.unwrap();

    let impatient = PgPoolOptions::new().acquire_timeout(Duration::from_secs(1));
    let impatient = impatient.connect(database.url()).await.unwrap();
    let log = Log::new();
    let relay =
        Relay::new(impatient.clone(), To::all(&log)).poll_interval(Duration::from_millis(5));
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(relay.run(shutdown.clone().cancelled_owned()));
    let marked = async { while suite::unpublished(&pool).await > 0 {} };
    within(marked).await;
    server.crash().unwrap();
    // The first one may begin before the relay's own try, the second one ends after it.
    for _ in 0..2 {
        impatient.acquire().await.unwrap_err();
    }
    server.restart().await.unwrap();
    suite::emit(&Db::pool_of(database.url(), 4).await, &[(Some("a"), 2)])
        .await
        .unwrap();
    log.until(|taken| taken.last().is_some_and(|last| last.n == 2))
        .await;
    shutdown.cancel();
    running.await.unwrap().unwrap();
    pool.close().await;
    impatient.close().await;
}
