//! SQLite has one isolation level; what differs is the journal.
//!
//! * A statement that fails is undone alone and does not abort the transaction.
//! * One transaction writes at a time: a duplicate elsewhere waits for the database, and can't tell
//!   for which key. Nothing can conflict inside a body, so the rows on conflicts are not here.
//! * There is no server: what kills a session is the death of its process.

use std::process::Stdio;
use std::time::Duration;

use idem_tests::at_rest;
use idem_tests::server::{self, Database};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqliteConnection, SqlitePool};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use self::case_db::CaseDb;
use self::handlers::{Which, deliver};
use crate::model::Order;
use crate::stage::Stage;

suite!(deferred, processes);

pub(crate) type Conn = SqliteConnection;
pub(crate) type Pool = SqlitePool;
pub(crate) type Db = Sqlite;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Axis {
    Wal,
    RollbackJournal,
}

/// Where a transaction fails whose key a purge has just taken.
pub(crate) const LOSE_TO_PURGES: &[Axis] = &[];
pub(crate) const SWALLOWED_ERRORS_ABORT: bool = false;
pub(crate) const DDL_COMMITS: bool = false;
/// `SQLITE_CONSTRAINT_FOREIGNKEY`
pub(crate) const DEFERRED_VIOLATION: &str = "787";
/// What a claim ends with that found another delivery under way: the database can't say which one.
pub(crate) const BUSY: &str = "Store(5)";
pub(crate) const KILLS_PROCESSES: bool = true;
pub(crate) const LEASED: bool = false;
pub(crate) const BEGIN: &str = "BEGIN IMMEDIATE";
pub(crate) const BEGIN_AGAIN: &str = "BEGIN";
pub(crate) const SESSION: &str = "SELECT 0";

pub(crate) const SETUP: &[&str] = &["CREATE TABLE effects (id TEXT NOT NULL);
    CREATE TABLE uniques (id INTEGER PRIMARY KEY, n INTEGER NOT NULL DEFAULT 0);
    INSERT INTO uniques (id) VALUES (11), (12);
    CREATE TABLE parents (id INTEGER PRIMARY KEY);
    CREATE TABLE children (parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)"];

/// Each case has a file of its own.
pub(crate) const CLEAN: &[&str] = &[];

pub(crate) const CLAIMS: &str =
    "SELECT scope, state, CAST(result AS TEXT) FROM idem_keys ORDER BY 1, 2, 3";

pub(crate) const NAMESPACE: &str = "SELECT lower(hex(namespace)) FROM idem_schema";

pub(crate) const EVENTS: &str = "SELECT lower(hex(id)) FROM idem_outbox ORDER BY seq";

pub(crate) const SETTINGS: &str = "SELECT format('%s; %s; %s; %s', (SELECT timeout FROM pragma_busy_timeout), \
    (SELECT foreign_keys FROM pragma_foreign_keys), (SELECT synchronous FROM pragma_synchronous), \
    (SELECT journal_mode FROM pragma_journal_mode))";

pub(crate) async fn new_database() -> Database {
    server::sqlite()
}

pub(crate) async fn connect(url: &str, axis: Axis, connections: u32) -> Pool {
    connect_waiting(url, axis, connections, Duration::from_secs(5)).await
}

/// A pool that waits for no writer.
pub(crate) async fn connect_impatient(db: &CaseDb) -> Pool {
    connect_waiting(db.database().url(), db.axis, 2, Duration::from_millis(20)).await
}

async fn connect_waiting(url: &str, axis: Axis, connections: u32, wait: Duration) -> Pool {
    let options: SqliteConnectOptions = url.parse().unwrap();
    let journal = match axis {
        Axis::Wal => SqliteJournalMode::Wal,
        Axis::RollbackJournal => SqliteJournalMode::Delete,
    };
    SqlitePoolOptions::new()
        .max_connections(connections)
        .connect_with(
            options
                .journal_mode(journal)
                // A process that is killed loses nothing that the system has.
                .synchronous(SqliteSynchronous::Off)
                .busy_timeout(wait),
        )
        .await
        .unwrap()
}

pub(crate) async fn assert_no_open_transaction(db: &CaseDb) {
    at_rest::sqlite(&db.admin).await;
}

/// How many connections of a pool are with a call: what they are asked first is to become the
/// writer.
pub(crate) async fn waiting(_: &CaseDb, pool: &Pool) -> i64 {
    i64::from(pool.size()) - i64::try_from(pool.num_idle()).unwrap()
}

/// How many are with a call of this pool when one more is: other pools are not counted.
pub(crate) const fn waiting_after(_before: i64) -> i64 {
    1
}

pub(crate) async fn kill(_: &CaseDb, _: i64) {
    unreachable!("a process is killed, with its connection")
}

#[derive(Serialize, Deserialize)]
struct Errand {
    url: String,
    axis: Axis,
    which: Which,
    order: Order,
}

const ERRAND: &str = "IDEM_TESTS_ERRAND";

/// Delivers an order in another process, up to where its handler meets its test.
pub(crate) async fn child(db: &CaseDb, which: Which, order: &Order) -> Child {
    let errand = Errand {
        url: db.database().url().into(),
        axis: db.axis,
        which,
        order: order.clone(),
    };
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["sqlite::a_process_that_is_killed", "--exact", "--nocapture"])
        .env(ERRAND, serde_json::to_string(&errand).unwrap())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.ends_with("here") {
            return child;
        }
    }
    panic!("the process ended before it was killed");
}

/// What such a process runs; alone it has nothing to do.
#[test]
fn a_process_that_is_killed() {
    let Ok(errand) = std::env::var(ERRAND) else {
        return;
    };
    let errand: Errand = serde_json::from_str(&errand).unwrap();
    crate::run(async move {
        let pool = connect(&errand.url, errand.axis, 2).await;
        let stage = Stage::new();
        tokio::select! {
            end = deliver(errand.which, &pool, &errand.order, &stage) => panic!("{end}"),
            () = async {
                stage.met().await;
                println!("here");
                std::future::pending::<()>().await;
            } => {}
        }
    });
}

journals!(wal = Axis::Wal, rollback_journal = Axis::RollbackJournal);

soak! { Axis::Wal;
    begins_dropped_at_each_point_poison_no_connection = begins::dropped_at_each_point;
    begins_dropped_in_the_hands_of_the_database_poison_no_connection = begins::dropped_in_the_hands_of_the_database;
    processes_killed_at_commit_make_one_effect_each = deaths::lose_the_acknowledgement;
}

mod only_here {
    use super::handlers::applied;
    use super::other::Other;
    use super::*;
    use crate::fate::Fate;
    use crate::model::State;

    /// Where the journal is rolled back a reader keeps COMMIT out, and the writer must run again.
    ///
    /// Guards: a COMMIT that finds the database busy is a conflict: nothing is stored, the
    /// transaction that it leaves open is ended, and `retry` runs the handler again.
    #[test]
    fn a_reader_in_the_way_of_commit_leaves_nothing_half_done() {
        crate::run(async {
            let db = CaseDb::start(Axis::RollbackJournal).await;
            let impatient = connect_impatient(&db).await;
            let mut reader = db.pool.begin().await.unwrap();
            let read = sqlx::raw_sql("SELECT id FROM effects");
            read.fetch_all(&mut *reader).await.unwrap();
            let order = Order::plain("o");
            for which in [Which::Apply, Which::Retried] {
                let end = deliver(which, &impatient, &order, &Stage::new()).await;
                assert_eq!(end, "Store(5)");
                // It could not begin if the last one were open yet, and it reads what is committed.
                assert_no_open_transaction(&db).await;
                db.assert_state(&State::nothing()).await;
            }
            reader.rollback().await.unwrap();
            let end = deliver(Which::Apply, &impatient, &order, &Stage::new()).await;
            assert_eq!(end, "Executed(7)");
            db.assert_then(&[], State::whole(), "Replayed(7)", State::whole())
                .await;
        });
    }

    /// With a log written ahead a caller that began by reading keeps what it read, and loses the
    /// right to write.
    #[test]
    fn a_caller_that_has_read_conflicts_with_whoever_wrote_since() {
        crate::run(async {
            let db = CaseDb::start(Axis::Wal).await;
            let mut caller = db.pool.begin().await.unwrap();
            let read = sqlx::raw_sql("SELECT id FROM effects");
            read.fetch_all(&mut *caller).await.unwrap();
            let writer = Other::begin(&db, Fate::Commits).await;
            writer.ends(&db, Fate::Commits).await;
            let order = Order::plain("p");
            assert_eq!(applied(&db.admin, &order).await, "Executed(7)");
            let order = Order::plain("o");
            for _ in 0..2 {
                // SQLITE_BUSY_SNAPSHOT
                assert_eq!(applied(&mut caller, &order).await, "Store(517)");
            }
            caller.commit().await.unwrap();
            assert_eq!(applied(&db.pool, &order).await, "Executed(7)");
            assert_eq!(applied(&db.pool, &order).await, "Replayed(7)");
            assert_eq!(db.state().await.effects, ["o", "p"]);
            db.assert_at_rest(&[&db.pool]).await;
        });
    }
}
