//! MariaDB, and so MySQL: the SQL is what both understand.
//!
//! * A statement that fails for anything but a deadlock is undone alone and does not abort the
//!   transaction.
//! * DDL commits: it can't be part of a transaction, so a handler with DDL surfaces.
//! * A locking read sees what is newer than the snapshot: a joined claim replays at every level.
//! * There are no constraints that are checked at COMMIT.

use idem_tests::at_rest;
use idem_tests::server::{self, Database};
use sqlx::mysql::MySqlPoolOptions;
use sqlx::{AssertSqlSafe, MySql, MySqlConnection, MySqlPool, Row as _, raw_sql};
use tokio::process::Child;

use self::case_db::CaseDb;
use self::handlers::Which;
use crate::level::Level;
use crate::model::Order;

suite!(servers);

pub(crate) type Conn = MySqlConnection;
pub(crate) type Pool = MySqlPool;
pub(crate) type Db = MySql;

pub(crate) type Axis = Level;

/// Where a transaction fails that waited for one which changed what it has read.
pub(crate) const LOSE_TO_NEWER: &[Axis] = &[];
/// Where a transaction fails whose key a purge has just taken.
pub(crate) const LOSE_TO_PURGES: &[Axis] = &[];
/// Where what a transaction reads can't be changed until it ends.
pub(crate) const READS_LOCK: &[Axis] = &[Level::Serializable];
pub(crate) const SWALLOWED_ERRORS_ABORT: bool = false;
pub(crate) const DDL_COMMITS: bool = true;
/// `ER_LOCK_DEADLOCK`
pub(crate) const CONFLICTS: &[&str] = &["1213"];
/// What a claim ends with that found another delivery under way.
pub(crate) const BUSY: &str = "InFlight";
pub(crate) const KILLS_PROCESSES: bool = false;
pub(crate) const LEASED: bool = true;
pub(crate) const BEGIN: &str = "START TRANSACTION";
pub(crate) const BEGIN_AGAIN: &str = "START TRANSACTION";
/// The one that has changed fewer rows loses.
pub(crate) const YIELD_IN_DEADLOCKS: &str = "DO 0";
pub(crate) const WIN_DEADLOCKS: &str = "DO 0";
pub(crate) const SESSION: &str = "SELECT CAST(CONNECTION_ID() AS SIGNED)";

pub(crate) const SETUP: &[&str] = &[
    "CREATE TABLE effects (id VARCHAR(64) NOT NULL)",
    "CREATE TABLE uniques (id INTEGER PRIMARY KEY, n BIGINT NOT NULL DEFAULT 0)",
    "INSERT INTO uniques (id) VALUES (11), (12)",
    "INSERT INTO uniques (id) SELECT seq FROM seq_100_to_399",
];

/// What stands in no other request than the one that commits.
pub(crate) const COMMITS: &str = "; COMMIT; ";

/// What makes the tables as [`SETUP`] leaves them. A deleted row is there for a while yet, and an
/// INSERT of the same ID locks the gap next to it: hence TRUNCATE.
pub(crate) const CLEAN: &[&str] = &[
    "DELETE FROM effects; TRUNCATE idem_keys; TRUNCATE idem_outbox; UPDATE uniques SET n = 0 WHERE n <> 0",
];

pub(crate) const KEY: &str = "`key`";

pub(crate) const CLAIMS: &str = "SELECT CONVERT(scope USING utf8mb4), CAST(state AS SIGNED), CONVERT(result USING utf8mb4) \
    FROM idem_keys ORDER BY 1, 2, 3";

pub(crate) const NAMESPACE: &str = "SELECT LOWER(HEX(namespace)) FROM idem_schema";

pub(crate) const EVENTS: &str = "SELECT LOWER(HEX(id)) FROM idem_outbox ORDER BY seq";

pub(crate) const SETTINGS: &str = "SELECT CONCAT_WS('; ', @@autocommit, @@innodb_lock_wait_timeout, @@lock_wait_timeout, \
    @@max_statement_time, @@tx_isolation, @@sql_mode, @@time_zone, @@unique_checks, @@in_transaction)";

/// Settings that are not the default, so that what goes back to a default shows.
fn session(axis: Axis) -> String {
    format!(
        "SET innodb_lock_wait_timeout = 61, lock_wait_timeout = 62, max_statement_time = 63, \
         sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES'; \
         SET SESSION TRANSACTION ISOLATION LEVEL {}",
        axis.sql()
    )
}

pub(crate) async fn new_database() -> Database {
    server::mariadb().database().await
}

pub(crate) async fn connect(url: &str, axis: Axis, connections: u32) -> Pool {
    MySqlPoolOptions::new()
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
    at_rest::mariadb(db.database().url()).await;
}

/// How many statements are under way that wait for a lock, sooner or later.
pub(crate) async fn waiting(db: &CaseDb, _: &Pool) -> i64 {
    db.number(
        "SELECT CAST(count(*) AS SIGNED) FROM information_schema.processlist WHERE db = DATABASE() AND command = 'Query' \
         AND (info LIKE '%INTO idem_keys%' OR info LIKE '%uniques%') AND id <> CONNECTION_ID()",
    )
    .await
}

/// Ends when the statement of this session waits for a lock. The tables about locks show nothing new
/// to those who ask again and again.
pub(crate) async fn until_locked(db: &CaseDb, session: i64) {
    let thread = format!("thread id {session},");
    let waits = |status: &str| {
        let mut transactions = status.split("---TRANSACTION");
        transactions.any(|one| one.contains("LOCK WAIT") && one.contains(&thread))
    };
    loop {
        let status = raw_sql("SHOW ENGINE INNODB STATUS");
        let status = status.fetch_one(&db.admin).await.unwrap();
        if waits(status.get(2)) {
            break;
        }
        tokio::time::sleep(crate::POLL_EVERY).await;
    }
}

/// How many statements [wait](waiting) when one more does.
pub(crate) const fn waiting_after(before: i64) -> i64 {
    before + 1
}

/// Ends a session, and waits until it is gone.
pub(crate) async fn kill(db: &CaseDb, session: i64) {
    db.execute(&format!("KILL {session}")).await;
    let there = format!(
        "SELECT CAST(count(*) AS SIGNED) FROM information_schema.processlist WHERE id = {session}"
    );
    while db.number(&there).await > 0 {
        tokio::time::sleep(crate::POLL_EVERY).await;
    }
}

pub(crate) async fn child(_: &CaseDb, _: Which, _: &Order) -> Child {
    unreachable!("a session is killed by the server")
}

levels!(
    [deliveries deeds process transactions servers];
    read_committed = Level::ReadCommitted,
    repeatable_read = Level::RepeatableRead,
    serializable = Level::Serializable,
);
killed!([deeds servers]);

soak! { Level::RepeatableRead;
    begins_dropped_at_each_point_poison_no_connection = begins::dropped_at_each_point;
    begins_dropped_in_the_hands_of_the_database_poison_no_connection = begins::dropped_in_the_hands_of_the_database;
    lost_acknowledgements_make_one_effect_each = acknowledgements::lost;
}

mod only_here {
    use sqlx::Row as _;

    use super::first::First;
    use super::handlers::deliver;
    use super::*;
    use crate::fate::Fate;
    use crate::model::{State, sql};
    use crate::stage::Stage;

    /// Guards: `autocommit` is put back to what it was, and where it was off no SELECT of ours
    /// leaves the transaction open that it begins.
    #[test]
    fn a_session_without_autocommit_is_left_without_it_and_at_rest() {
        crate::run(async {
            let db = CaseDb::start(Level::RepeatableRead).await;
            let pool = MySqlPoolOptions::new()
                .max_connections(1)
                .after_connect(|conn, _| {
                    Box::pin(async move { handlers::execute(conn, "SET autocommit = 0").await })
                })
                .connect(db.database().url())
                .await
                .unwrap();
            let violates = [sql("INSERT INTO uniques (id) VALUES (11)")];
            for (which, order, expected) in [
                (Which::Apply, Order::new("o", violates), "Handler(1062)"),
                (Which::Apply, Order::plain("o"), "Executed(7)"),
                (Which::Apply, Order::plain("o"), "Replayed(7)"),
                (Which::ApplyOnConnection, Order::plain("o"), "Replayed(7)"),
                (Which::Keyless, Order::plain("k"), "Ok(7)"),
            ] {
                let end = deliver(which, &pool, &order, &Stage::new()).await;
                assert_eq!(end, expected);
                assert_no_open_transaction(&db).await;
                let mut conn = pool.acquire().await.unwrap();
                let found = raw_sql(
                    "SELECT CAST(@@autocommit AS SIGNED), CAST(@@in_transaction AS SIGNED)",
                );
                let found = found.fetch_one(&mut *conn).await.unwrap();
                let found: [i64; 2] = [found.get(0), found.get(1)];
                assert_eq!(found, [0, 0], "after {which:?}, {expected}");
            }
            // So many duplicates that it asks before it claims.
            for _ in 0..10 {
                let end = deliver(Which::Apply, &pool, &Order::plain("o"), &Stage::new()).await;
                assert_eq!(end, "Replayed(7)");
                assert_no_open_transaction(&db).await;
            }
            assert_eq!(db.state().await.effects, ["k", "o"]);
            db.execute("UPDATE idem_keys SET expires_at = created_at")
                .await;
            let purged = idem_runtime::purge(&pool).await.unwrap();
            assert_eq!(purged.keys, 1);
            assert_eq!(db.state().await.claims, []);
            db.execute("DROP TABLE idem_schema").await;
            idem_runtime::migrate(&pool).await.unwrap();
            let version = "SELECT CAST(version AS SIGNED) FROM idem_schema";
            assert_eq!(db.number(version).await, 1);
            assert_no_open_transaction(&db).await;
            let end = deliver(Which::Apply, &pool, &Order::plain("o"), &Stage::new()).await;
            assert_eq!(end, "Executed(7)");
        });
    }

    /// Guards: a claim that the server gives up leaves a connection that is closed.
    #[test]
    fn a_statement_time_limit_ends_the_wait_of_a_claim() {
        crate::run(async {
            let db = CaseDb::start(Level::ReadCommitted).await;
            let order = Order::held("o", []);
            let mut first = First::start(&db, Fate::Commits, Which::Apply, order).await;
            let order = Order::plain("o");
            for _ in 0..3 {
                let mut conn = db.pool.acquire().await.unwrap();
                handlers::execute(&mut conn, "SET max_statement_time = 0.05")
                    .await
                    .unwrap();
                drop(conn);
                let end = deliver(Which::Apply, &db.pool, &order, &Stage::new()).await;
                // `ER_STATEMENT_TIMEOUT`
                assert_eq!(end, "Store(1969)");
            }
            assert_eq!(first.ends(&db, Fate::Commits).await, "Executed(7)");
            db.assert_then(
                &[&first.pool, &db.pool],
                State::whole(),
                "Replayed(7)",
                State::whole(),
            )
            .await;
        });
    }
}
