//! What does not keep a service from starting, and what a person should know: tables that can't
//! take a handler's work back.

use std::io;
use std::sync::{Arc, Mutex};

use idem_runtime::{VerifyError, migrate, verify, verify_warnings};
use idem_tests::server;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{Executor as _, MySqlPool, PgPool, SqlitePool};

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Checks that these are the warnings, and that `verify` logs each and is content.
macro_rules! assert_warns {
    ($pool:expr, $expected:expr) => {{
        let expected: &[String] = &$expected;
        assert_eq!(verify_warnings(&$pool).await.unwrap(), expected);
        let log = Log::default();
        let _guard = log.clone().listen();
        verify(&$pool).await.unwrap();
        log.assert_has(expected);
    }};
}

impl Log {
    fn listen(self) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || self.clone())
            .finish();
        idem_tests::subscribe(subscriber)
    }

    fn assert_has(&self, warnings: &[String]) {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let warns: Vec<_> = log.lines().filter(|line| line.contains("WARN")).collect();
        assert_eq!(warns.len(), warnings.len(), "{log}");
        for (line, warning) in warns.iter().zip(warnings) {
            assert!(line.ends_with(warning), "{line}");
        }
    }
}

/// Guards: every table of the database is looked at, not only ours, and by what its engine can do,
/// not by its name.
#[tokio::test]
async fn tables_without_transactions_are_named_on_mariadb() {
    let database = server::mariadb().database().await;
    let pool = MySqlPool::connect(database.url()).await.unwrap();
    migrate(&pool).await.unwrap();
    assert_warns!(pool, []);
    for table in [
        "CREATE TABLE balances (id INT) ENGINE = MyISAM",
        "CREATE TABLE cache (id INT) ENGINE = MEMORY",
        "CREATE TABLE `odd``name` (id INT) ENGINE = Aria TRANSACTIONAL = 0",
        "CREATE TABLE orders (id INT) ENGINE = InnoDB",
        "CREATE VIEW seen AS SELECT * FROM balances",
        "CREATE SEQUENCE numbers ENGINE = MyISAM",
    ] {
        pool.execute(table).await.unwrap();
    }
    let warning = |table: &str, engine: &str| {
        format!(
            "the table {table} has the engine {engine}, which has no transactions: what a failed handler wrote to it stays, and is \
             written again by the next delivery. If a handler writes to it: ALTER TABLE {table} ENGINE = InnoDB"
        )
    };
    let expected = [
        warning("`balances`", "MyISAM"),
        warning("`cache`", "MEMORY"),
        warning("`odd``name`", "Aria"),
    ];
    assert_warns!(pool, expected);
    pool.execute("ALTER TABLE balances ENGINE = InnoDB; DROP TABLE cache, `odd``name`")
        .await
        .unwrap();
    assert_warns!(pool, []);
}

/// Guards: an unlogged table is emptied after a crash, and the claims are not.
#[tokio::test]
async fn tables_that_a_crash_empties_are_named_on_postgres() {
    let database = server::postgres().database().await;
    let pool = PgPool::connect(database.url()).await.unwrap();
    migrate(&pool).await.unwrap();
    pool.execute(
        "CREATE UNLOGGED TABLE \"Balances\" (id int PRIMARY KEY);
         CREATE TEMP TABLE scratch (id int);
         CREATE TABLE orders (id int);
         CREATE SCHEMA elsewhere;
         CREATE UNLOGGED TABLE elsewhere.cache (id int)",
    )
    .await
    .unwrap();
    assert_warns!(pool, ["the table \"Balances\" is unlogged: a crash of the server empties it, and the keys of what was handled stay. If a handler \
             writes to it: ALTER TABLE \"Balances\" SET LOGGED".to_owned()]);
}

/// Guards: the journal's mode, without which SQLite can't roll back, or not after a crash.
#[tokio::test]
async fn a_journal_that_cannot_roll_back_is_refused_or_named_on_sqlite() {
    let database = server::sqlite();
    let options: SqliteConnectOptions = database.url().parse().unwrap();
    let connect = |mode| {
        let options = options.clone().journal_mode(mode);
        SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
    };
    let pool: SqlitePool = connect(SqliteJournalMode::Delete).await.unwrap();
    migrate(&pool).await.unwrap();
    assert_warns!(pool, []);
    let memory = connect(SqliteJournalMode::Memory).await.unwrap();
    assert_warns!(memory, ["the journal is in memory: a process that dies in the middle of a transaction can leave the database corrupt. Open it with \
             `journal_mode(Wal)`".to_owned()]);
    let off = connect(SqliteJournalMode::Off).await.unwrap();
    let unfit = verify(&off).await;
    let Err(VerifyError::MissingRequirements(sentences)) = unfit else {
        panic!("{unfit:?}");
    };
    assert_eq!(
        sentences,
        [
            "the journal is off, so nothing can be rolled back: open the database with `journal_mode(Wal)`"
        ]
    );
    let in_memory = SqlitePoolOptions::new()
        .max_connections(1)
        .connect("sqlite::memory:")
        .await
        .unwrap();
    migrate(&in_memory).await.unwrap();
    assert_warns!(in_memory, []);
}

/// Guards: the server's settings by which a log keeps the text of statements, and in it what calls
/// send.
#[tokio::test]
async fn logs_that_keep_statements_are_named_on_mariadb() {
    let options = server::Options::default()
        .set("performance_schema", "ON")
        .set("long_query_time", "0");
    let server = server::MariaDb::start(options).await.unwrap();
    let database = server.database().await;
    let pool = MySqlPool::connect(database.url()).await.unwrap();
    migrate(&pool).await.unwrap();
    let consumer = "UPDATE performance_schema.setup_consumers SET enabled";
    for (on, off, name) in [
        (
            "SET GLOBAL general_log = ON".to_owned(),
            "SET GLOBAL general_log = OFF".to_owned(),
            "general_log",
        ),
        (
            "SET GLOBAL slow_query_log = ON".to_owned(),
            "SET GLOBAL slow_query_log = OFF".to_owned(),
            "slow_query_log",
        ),
        (
            format!("{consumer} = 'YES' WHERE name = 'events_statements_history_long'"),
            format!("{consumer} = 'NO' WHERE name = 'events_statements_history_long'"),
            "events_statements_history_long",
        ),
    ] {
        assert_warns!(pool, []);
        pool.execute(sqlx::AssertSqlSafe(on)).await.unwrap();
        let warnings = verify_warnings(&pool).await.unwrap();
        let [warning] = &warnings[..] else {
            panic!("{name}: {warnings:?}");
        };
        assert!(
            warning.starts_with(&format!("`{name}` is on: ")),
            "{warning}"
        );
        assert!(warning.ends_with(&format!(": {off}")), "{warning}");
        pool.execute(sqlx::AssertSqlSafe(off)).await.unwrap();
    }
    assert_warns!(pool, []);
    // A user who may not ask is told the rest.
    for sql in [
        "CREATE USER app@'%'".to_owned(),
        format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON {}.* TO app@'%'",
            database.name()
        ),
    ] {
        pool.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    }
    let url = database.url().replace("root@", "app@");
    let app = MySqlPool::connect(&url).await.unwrap();
    assert_warns!(app, []);
}
