//! PostgreSQL.

use std::time::Duration;

use idem_runtime::{Relay, UpkeepOptions, spawn_upkeep};
use idem_testing::__internals::Protocol;
use idem_tests::TestDb;
use idem_tests::server::{Options, Postgres};
use serde_json::Value;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool, Row as _, raw_sql};
use tokio_util::sync::CancellationToken;

use crate::child::RelayProcess;
use crate::receivers::{Log, To, within};

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
pub(crate) mod suite;

pub(crate) type Conn = sqlx::PgConnection;
pub(crate) type Pool = PgPool;

pub(crate) type Db = TestDb<sqlx::Postgres>;

/// Others see at once when the session is gone.
pub(crate) const LEASE_AFTER_A_CRASH: std::time::Duration = std::time::Duration::from_mins(1);

pub(crate) const BEGIN: &str = "BEGIN";

pub(crate) const RESET_SEQUENCE: &str = "TRUNCATE idem_outbox RESTART IDENTITY";

pub(crate) const READ_ONLY: &str = "SET default_transaction_read_only = on";

pub(crate) const PROTOCOL: Protocol = Protocol::Postgres;

pub(crate) const NOW: &str = "clock_timestamp()";

/// What is in the statements of a relay, and in no others.
pub(crate) const LOOK: &str = "pg_snapshot_xmin(pg_current_snapshot())";
pub(crate) const SETTLEMENT: &str = "DELETE FROM ";
pub(crate) const RENEWAL: &str = "ON CONFLICT (owner)";

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

/// Guards: upkeep notifies the relays of other processes after a commit, and once at its start,
/// since nobody listened to the commits before. This relay would look again in a minute.
#[tokio::test]
async fn a_commit_wakes_the_relay_of_another_process() {
    let db = start().await;
    // After a look that found something a relay looks once more, before it sleeps.
    let settled = async || within(async { while suite::unpublished(&db.pool).await > 0 {} }).await;
    let ids = suite::emit(&db.pool, &[(None, 0)]).await.unwrap();
    let mut relay = RelayProcess::start(db.database().url(), "confirm");
    relay.is_handed(&ids).await;
    settled().await;
    let ids = suite::emit(&db.pool, &[(None, 1)]).await.unwrap();
    let _upkeep = spawn_upkeep(db.pool.clone(), UpkeepOptions::default());
    relay.is_handed(&ids).await;
    for n in 2..20 {
        settled().await;
        let ids = suite::emit(&db.pool, &[(None, n)]).await.unwrap();
        relay.is_handed(&ids).await;
    }
    relay.kill().await;
}

/// How many rows of the outbox this statement reads.
pub(crate) async fn rows_read(db: &Db, look: &str) -> u64 {
    let (settings, look) = look.rsplit_once("; ").unwrap();
    let sql = format!("{settings}; EXPLAIN (ANALYZE, FORMAT JSON) {look}");
    let row = raw_sql(AssertSqlSafe(sql))
        .fetch_one(&db.pool)
        .await
        .unwrap();
    let plan = row.try_get_raw(0).unwrap();
    read_by(&serde_json::from_str(plan.as_str().unwrap()).unwrap())
}

fn read_by(node: &Value) -> u64 {
    let children = match node {
        Value::Array(nodes) => nodes.iter().map(read_by).sum(),
        Value::Object(fields) => fields.values().map(read_by).sum(),
        _ => 0,
    };
    if node["Relation Name"] != "idem_outbox" {
        return children;
    }
    let number = |name: &str| node[name].as_u64().unwrap_or(0);
    let rows = number("Actual Rows") + number("Rows Removed by Filter");
    children + rows * number("Actual Loops")
}
