//! The harness itself: its servers start, are private, and leave nothing behind.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use idem_tests::server::{
    self, Error, MariaDb, Nats, NatsRelease, Options, PgBouncer, Postgres, RabbitMq,
};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, MySqlConnection, PgConnection, SqliteConnection};

/// Whether a process with this ID is there and has not ended.
fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").unwrap().1.starts_with('Z'))
}

/// Waits, with a limit, for an event that nothing announces.
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !condition() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn is_gone(pid: u32, folder: &Path) -> bool {
    !runs(pid) && !folder.exists()
}

#[tokio::test]
async fn each_test_has_a_postgresql_database_of_its_own() {
    let (first, second) = (
        server::postgres().database().await,
        server::postgres().database().await,
    );
    let mut connection = PgConnection::connect(first.url()).await.unwrap();
    sqlx::raw_sql("CREATE TABLE t (x int)")
        .execute(&mut connection)
        .await
        .unwrap();
    let mut other = PgConnection::connect(second.url()).await.unwrap();
    let seen: Option<String> = sqlx::query_scalar("SELECT to_regclass('t')::text")
        .fetch_one(&mut other)
        .await
        .unwrap();
    assert_eq!(seen, None);
}

#[tokio::test]
async fn each_test_has_a_mariadb_database_of_its_own() {
    let (first, second) = (
        server::mariadb().database().await,
        server::mariadb().database().await,
    );
    let mut connection = MySqlConnection::connect(first.url()).await.unwrap();
    sqlx::raw_sql("CREATE TABLE t (x int)")
        .execute(&mut connection)
        .await
        .unwrap();
    let mut other = MySqlConnection::connect(second.url()).await.unwrap();
    let seen = sqlx::query("SHOW TABLES")
        .fetch_all(&mut other)
        .await
        .unwrap();
    assert_eq!(seen.len(), 0);
}

#[tokio::test]
async fn an_sqlite_database_is_a_file_that_goes_with_its_value() {
    let database = server::sqlite();
    let mut connection = SqliteConnection::connect(database.url()).await.unwrap();
    sqlx::raw_sql("CREATE TABLE t (x int)")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let file = PathBuf::from(database.name());
    assert!(file.exists());
    drop(database);
    assert!(!file.parent().unwrap().exists());
}

#[tokio::test]
async fn a_dropped_database_is_gone_whoever_still_uses_it() {
    let postgres = server::postgres().database().await;
    let mut idle = PgConnection::connect(postgres.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; CREATE TABLE t (x int)")
        .execute(&mut idle)
        .await
        .unwrap();
    let url = postgres.url().to_owned();
    drop(postgres);
    let error = PgConnection::connect(&url).await.unwrap_err();
    assert_eq!(
        error.into_database_error().unwrap().code().unwrap(),
        "3D000"
    );

    let mariadb = server::mariadb().database().await;
    let mut idle = MySqlConnection::connect(mariadb.url()).await.unwrap();
    idle.ping().await.unwrap();
    let url = mariadb.url().to_owned();
    drop(mariadb);
    let error = MySqlConnection::connect(&url).await.unwrap_err();
    assert_eq!(
        error.into_database_error().unwrap().code().unwrap(),
        "42000"
    );
}

#[tokio::test]
async fn the_pooler_gives_a_server_connection_per_transaction() {
    // With one server connection, a second client is served only if the first let go of it.
    let pooler = PgBouncer::start(
        server::postgres(),
        Options::default().set("default_pool_size", 1),
    )
    .await
    .unwrap();
    let database = pooler.database().await;
    let options: PgConnectOptions = database.url().parse().unwrap();
    let options = options.statement_cache_capacity(0);
    let (mut first, mut second) = (
        options.connect().await.unwrap(),
        options.connect().await.unwrap(),
    );
    let mut processes = Vec::new();
    for use_first in [true, false, true] {
        let connection = if use_first { &mut first } else { &mut second };
        let mut transaction = connection.begin().await.unwrap();
        let process: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .persistent(false)
            .fetch_one(&mut *transaction)
            .await
            .unwrap();
        processes.push(process);
        transaction.commit().await.unwrap();
    }
    processes.dedup();
    assert_eq!(processes.len(), 1);

    let mut direct = PgConnection::connect(database.direct_url()).await.unwrap();
    let name: String = sqlx::query_scalar("SELECT current_database()")
        .fetch_one(&mut direct)
        .await
        .unwrap();
    assert_eq!(name, database.name());
}

#[tokio::test]
async fn the_shared_pooler_leads_to_the_shared_postgresql() {
    let database = server::pgbouncer().database().await;
    let options: PgConnectOptions = database.url().parse().unwrap();
    let mut connection = options.statement_cache_capacity(0).connect().await.unwrap();
    let name: String = sqlx::query_scalar("SELECT current_database()")
        .persistent(false)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(name, database.name());
}

#[tokio::test]
async fn postgresql_takes_settings_and_a_language() {
    let options = Options::default()
        .messages("de_DE")
        .set("default_transaction_isolation", "repeatable read")
        .set("wal_level", "logical");
    let server = Postgres::start(options).await.unwrap();
    let database = server.database().await;
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    for (setting, value) in [
        ("default_transaction_isolation", "repeatable read"),
        ("wal_level", "logical"),
        ("lc_messages", "de_DE.UTF-8"),
    ] {
        let shown: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!((setting, shown.as_str()), (setting, value));
    }
    let error = sqlx::raw_sql("SELECT 1/0")
        .execute(&mut connection)
        .await
        .unwrap_err();
    assert_eq!(
        error.into_database_error().unwrap().message(),
        "Division durch Null"
    );
}

#[tokio::test]
async fn mariadb_takes_settings_and_a_language() {
    let options = Options::default()
        .messages("de_DE")
        .set("transaction_isolation", "READ-COMMITTED");
    let server = MariaDb::start(options).await.unwrap();
    let database = server.database().await;
    let options: MySqlConnectOptions = database.url().parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    let isolation: String = sqlx::query_scalar("SELECT @@tx_isolation")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(isolation, "READ-COMMITTED");
    let error = sqlx::raw_sql("SELECT * FROM t")
        .execute(&mut connection)
        .await
        .unwrap_err();
    let message = error.into_database_error().unwrap().message().to_owned();
    assert_eq!(
        message,
        format!("Tabelle '{}.t' existiert nicht", database.name())
    );
}

#[tokio::test]
async fn what_postgresql_committed_survives_its_crash() {
    let mut server = Postgres::start(Options::default().durable()).await.unwrap();
    let database = server.database().await;
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    sqlx::raw_sql("CREATE TABLE t (x int); INSERT INTO t VALUES (7)")
        .execute(&mut connection)
        .await
        .unwrap();
    server.crash().unwrap();
    connection.ping().await.unwrap_err();
    PgConnection::connect(database.url()).await.unwrap_err();
    server.restart().await.unwrap();
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let kept: i32 = sqlx::query_scalar("SELECT x FROM t")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(kept, 7);
}

#[tokio::test]
async fn what_mariadb_committed_survives_its_crash() {
    let mut server = MariaDb::start(Options::default().durable()).await.unwrap();
    let database = server.database().await;
    let mut connection = MySqlConnection::connect(database.url()).await.unwrap();
    sqlx::raw_sql("CREATE TABLE t (x int); INSERT INTO t VALUES (7)")
        .execute(&mut connection)
        .await
        .unwrap();
    server.crash().unwrap();
    connection.ping().await.unwrap_err();
    server.restart().await.unwrap();
    let mut connection = MySqlConnection::connect(database.url()).await.unwrap();
    let kept: i32 = sqlx::query_scalar("SELECT x FROM t")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(kept, 7);
}

#[tokio::test]
async fn a_dropped_server_is_gone() {
    let postgres = Postgres::start(Options::default()).await.unwrap();
    let pgbouncer = PgBouncer::start(&postgres, Options::default())
        .await
        .unwrap();
    let mariadb = MariaDb::start(Options::default()).await.unwrap();
    let rabbitmq = RabbitMq::start(Options::default()).await.unwrap();
    let start = |release| Nats::start(release, Options::default());
    let [oldest, newest] = [NatsRelease::Oldest, NatsRelease::Newest].map(start);
    let (oldest, newest) = (oldest.await.unwrap(), newest.await.unwrap());
    let servers = [
        (oldest.pid(), oldest.folder().to_owned()),
        (newest.pid(), newest.folder().to_owned()),
        (rabbitmq.pid(), rabbitmq.folder().to_owned()),
        rabbitmq.name_server(),
        (postgres.pid(), postgres.folder().to_owned()),
        (pgbouncer.pid(), pgbouncer.folder().to_owned()),
        (mariadb.pid(), mariadb.folder().to_owned()),
    ];
    for (pid, folder) in &servers {
        assert!(runs(*pid) && folder.exists());
    }
    drop((pgbouncer, postgres, mariadb, rabbitmq, oldest, newest));
    for (pid, folder) in &servers {
        assert!(is_gone(*pid, folder), "{pid} or {folder:?} is left");
    }
}

#[tokio::test]
async fn a_server_that_does_not_start_tells_why() {
    let options = Options::default().set("shared_buffers", "a lot");
    let error = Postgres::start(options).await.unwrap_err();
    assert!(matches!(error, Error::Ended { .. }), "{error:?}");
    assert!(error.to_string().contains("shared_buffers"), "{error}");

    let options = Options::default().set("max_payload", "[");
    let error = Nats::start(NatsRelease::Oldest, options).await.unwrap_err();
    assert!(matches!(error, Error::Ended { .. }), "{error:?}");
    assert!(error.to_string().contains("Parse error"), "{error}");
}

/// Starts the servers in a process of their own, lets `end` end it, and waits until nothing is
/// left. Guards: the guard, whose standard input ends with the process.
fn servers_end_with_their_process(end: impl FnOnce(&mut Child)) -> ExitStatus {
    let mut process = Command::new("sh")
        // No core file where the process aborts.
        .args([
            "-c",
            "ulimit -c 0; exec \"$0\"",
            env!("CARGO_BIN_EXE_servers"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Kept open to the end: the process would fail in printing to a closed pipe.
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let servers: Vec<(u32, PathBuf)> = lines
        .by_ref()
        .take(3)
        .map(|line| {
            let line = line.unwrap();
            let words: Vec<&str> = line.split_whitespace().collect();
            (words[1].parse().unwrap(), PathBuf::from(words[3]))
        })
        .collect();
    assert_eq!(servers.len(), 3);
    for (pid, folder) in &servers {
        assert!(runs(*pid) && folder.exists());
    }
    end(&mut process);
    let status = process.wait().unwrap();
    for (pid, folder) in &servers {
        eventually("the servers end", || is_gone(*pid, folder));
    }
    status
}

fn send(signal: &str, process: &Child) {
    let sent = Command::new("kill")
        .args(["-s", signal, &process.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

#[test]
fn servers_end_with_a_process_that_returns() {
    let status = servers_end_with_their_process(|process| drop(process.stdin.take()));
    assert_eq!(status.code(), Some(0));
}

#[test]
fn servers_end_with_a_process_that_is_killed() {
    let status = servers_end_with_their_process(|process| send("KILL", process));
    assert_eq!(status.signal(), Some(9));
}

#[test]
fn servers_end_with_a_process_that_aborts() {
    let status = servers_end_with_their_process(|process| send("ABRT", process));
    assert_eq!(status.signal(), Some(6));
}
