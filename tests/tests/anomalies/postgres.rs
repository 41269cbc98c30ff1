//! PostgreSQL keeps every law at every level.
//!
//! At REPEATABLE READ and SERIALIZABLE a transaction keeps its first snapshot: a joined claim that
//! waited for a winner can't see it, and the caller's transaction must run again. A call in its own
//! transaction does that by itself.

use idem_tests::at_rest;
use idem_tests::server::{self, Database};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, raw_sql};
use tokio::process::Child;

use self::case_db::CaseDb;
use self::handlers::Which;
use crate::level::Level;
use crate::model::Order;

suite!(servers, deferred);

pub(crate) type Conn = PgConnection;
pub(crate) type Pool = PgPool;
pub(crate) type Db = Postgres;

pub(crate) type Axis = Level;

/// Where a transaction fails that waited for one which changed what it has read.
pub(crate) const LOSE_TO_NEWER: &[Axis] = &[Level::RepeatableRead, Level::Serializable];
/// Where a transaction fails whose key a purge has just taken.
pub(crate) const LOSE_TO_PURGES: &[Axis] = &[Level::Serializable];
/// Where what a transaction reads can't be changed until it ends.
pub(crate) const READS_LOCK: &[Axis] = &[];
/// A statement that fails aborts the transaction.
pub(crate) const SWALLOWED_ERRORS_ABORT: bool = true;
pub(crate) const DDL_COMMITS: bool = false;
/// `foreign_key_violation`
pub(crate) const DEFERRED_VIOLATION: &str = "23503";
/// `serialization_failure`, `deadlock_detected`
pub(crate) const CONFLICTS: &[&str] = &["40001", "40P01"];
/// What a claim ends with that found another delivery under way.
pub(crate) const BUSY: &str = "InFlight";
pub(crate) const KILLS_PROCESSES: bool = false;
pub(crate) const LEASED: bool = true;
pub(crate) const BEGIN: &str = "BEGIN";
pub(crate) const BEGIN_AGAIN: &str = "BEGIN";
/// Whoever looks for the deadlock is the one who ends it.
pub(crate) const YIELD_IN_DEADLOCKS: &str = "SET LOCAL deadlock_timeout = '1ms'";
pub(crate) const WIN_DEADLOCKS: &str = "SET LOCAL deadlock_timeout = '10s'";
pub(crate) const SESSION: &str = "SELECT pg_backend_pid()::bigint";

pub(crate) const SETUP: &[&str] = &[
    "CREATE TABLE effects (id text NOT NULL)",
    "CREATE TABLE uniques (id integer PRIMARY KEY, n bigint NOT NULL DEFAULT 0)",
    "INSERT INTO uniques (id) VALUES (11), (12)",
    "INSERT INTO uniques (id) SELECT generate_series(100, 399)",
    "CREATE TABLE parents (id integer PRIMARY KEY)",
    "CREATE TABLE children (parent integer REFERENCES parents DEFERRABLE INITIALLY DEFERRED)",
];

/// What stands in no other request than the one that commits.
pub(crate) const COMMITS: &str = "COMMIT AND CHAIN";

/// What makes the tables as [`SETUP`] leaves them.
pub(crate) const CLEAN: &[&str] = &[
    "DELETE FROM effects; DELETE FROM idem_keys; DELETE FROM idem_outbox; DELETE FROM children; DELETE FROM parents; \
     UPDATE uniques SET n = 0 WHERE n <> 0",
];

pub(crate) const KEY: &str = "key";

pub(crate) const CLAIMS: &str =
    "SELECT scope, state::bigint, convert_from(result, 'UTF8') FROM idem_keys ORDER BY 1, 2, 3";

pub(crate) const NAMESPACE: &str = "SELECT replace(namespace::text, '-', '') FROM idem_schema";

pub(crate) const EVENTS: &str = "SELECT replace(id::text, '-', '') FROM idem_outbox ORDER BY seq";

/// The last one tells whether a transaction is open: its clock stands still.
pub(crate) const SETTINGS: &str = "SELECT concat_ws('; ', current_setting('lock_timeout'), current_setting('statement_timeout'), \
    current_setting('idle_in_transaction_session_timeout'), current_setting('transaction_isolation'), \
    current_setting('default_transaction_isolation'), current_setting('search_path'), \
    current_setting('synchronous_commit'), current_setting('standard_conforming_strings'), now() = statement_timestamp())";

/// Settings that are not the default, so that what goes back to a default shows.
fn session(axis: Axis) -> String {
    format!(
        "SET lock_timeout = '61s'; SET statement_timeout = '62s'; SET idle_in_transaction_session_timeout = '63s'; \
         SET synchronous_commit = 'local'; SET standard_conforming_strings = off; SET escape_string_warning = off; \
         SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {}",
        axis.sql()
    )
}

pub(crate) async fn new_database() -> Database {
    server::postgres().database().await
}

pub(crate) async fn connect(url: &str, axis: Axis, connections: u32) -> Pool {
    PgPoolOptions::new()
        .max_connections(connections)
        .after_connect(move |conn, _| {
            let set = raw_sql(AssertSqlSafe(session(axis)));
            Box::pin(async move { set.execute(conn).await.map(drop) })
        })
        .connect(url)
        .await
        .unwrap()
}

/// A pool that waits for no writer.
pub(crate) async fn connect_impatient(db: &CaseDb) -> Pool {
    db.connect(2).await
}

pub(crate) async fn assert_no_open_transaction(db: &CaseDb) {
    at_rest::postgres(&db.admin).await;
}

/// How many statements wait for a key, for a row, or for the transaction that has it.
pub(crate) async fn waiting(db: &CaseDb, _: &Pool) -> i64 {
    db.number(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND backend_type = 'client backend' AND wait_event_type = 'Lock' AND wait_event IN ('advisory', 'transactionid', 'tuple')",
    )
    .await
}

/// Ends when the one statement that is under way waits for a lock.
pub(crate) async fn until_locked(db: &CaseDb, _session: i64) {
    db.until_waiting(&db.pool, 1).await;
}

/// How many statements [wait](waiting) when one more does.
pub(crate) const fn waiting_after(before: i64) -> i64 {
    before + 1
}

/// Ends a session, and waits until it is gone.
pub(crate) async fn kill(db: &CaseDb, session: i64) {
    db.execute(&format!("SELECT pg_terminate_backend({session})"))
        .await;
    let there = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {session}");
    while db.number(&there).await > 0 {
        tokio::time::sleep(crate::POLL_EVERY).await;
    }
}

pub(crate) async fn child(_: &CaseDb, _: Which, _: &Order) -> Child {
    unreachable!("a session is killed by the server")
}

levels!(
    [deliveries deeds process transactions servers deferred];
    read_committed = Level::ReadCommitted,
    repeatable_read = Level::RepeatableRead,
    serializable = Level::Serializable,
);
killed!([deeds servers deferred]);

soak! { Level::ReadCommitted;
    begins_dropped_at_each_point_poison_no_connection = begins::dropped_at_each_point;
    begins_dropped_in_the_hands_of_the_database_poison_no_connection = begins::dropped_in_the_hands_of_the_database;
    lost_acknowledgements_make_one_effect_each = acknowledgements::lost;
}

mod only_here {
    use super::first::First;
    use super::handlers::deliver;
    use super::*;
    use crate::fate::Fate;
    use crate::stage::Stage;

    /// Guards: a claim that the server gives up is an error of the database; its transaction is
    /// ended, and the session's own timeouts stay as they were.
    #[test]
    fn a_statement_timeout_ends_the_wait_of_a_claim() {
        crate::run(async {
            let db = CaseDb::start(Level::ReadCommitted).await;
            let order = Order::held("o", []);
            let mut first = First::start(&db, Fate::Commits, Which::Apply, order).await;
            let mut conn = db.pool.acquire().await.unwrap();
            handlers::execute(&mut conn, "SET statement_timeout = '50ms'")
                .await
                .unwrap();
            drop(conn);
            let order = Order::plain("o");
            for _ in 0..3 {
                let end = deliver(Which::Apply, &db.pool, &order, &Stage::new()).await;
                // `query_canceled`
                assert_eq!(end, "Store(57014)");
            }
            let mut conn = db.pool.acquire().await.unwrap();
            assert!(!sqlx::Connection::is_in_transaction(&*conn));
            handlers::execute(&mut conn, "SET statement_timeout = '62s'")
                .await
                .unwrap();
            drop(conn);
            assert_eq!(first.ends(&db, Fate::Commits).await, "Executed(7)");
            db.assert_whole_if(true, &[&first.pool, &db.pool]).await;
        });
    }
}
