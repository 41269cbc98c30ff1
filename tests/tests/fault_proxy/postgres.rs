//! PostgreSQL, through the proxy.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use idem_testing::__internals::{FaultProxy, InjectedError, Protocol, ProxyFault, Step, StepKind};
use idem_tests::server::{self, Database, Options, Postgres};
use sqlx::postgres::{PgConnectOptions, PgListener};
use sqlx::{Connection as _, PgConnection, PgPool, raw_sql};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[path = "suite/cuts.rs"]
mod cuts;
#[path = "suite/handler.rs"]
mod handler;
#[path = "suite/injected_errors.rs"]
mod injected_errors;
#[path = "suite/settled.rs"]
mod settled;
#[path = "suite/steps.rs"]
mod steps;
#[path = "suite/work.rs"]
mod work;

pub(crate) type Conn = PgConnection;
pub(crate) type Pool = PgPool;

pub(crate) struct ProxiedDb {
    pub(crate) proxy: FaultProxy,
    database: Database,
}

impl ProxiedDb {
    pub(crate) const PROTOCOL: Protocol = Protocol::Postgres;
    pub(crate) const INSERT: &'static str = "INSERT INTO t VALUES ($1)";
    pub(crate) const ECHO: &'static str = "SELECT $1::text";
    pub(crate) const MUCH: &'static str = "INSERT INTO t SELECT generate_series(1, 1000)";

    pub(crate) async fn start() -> Self {
        let database = server::postgres().database().await;
        let proxy = FaultProxy::start(Self::PROTOCOL, database.address().unwrap()).unwrap();
        let db = Self { proxy, database };
        sqlx::raw_sql("CREATE TABLE t (x int)")
            .execute(&mut db.direct().await)
            .await
            .unwrap();
        db
    }

    pub(crate) fn url_through(&self, address: SocketAddr) -> String {
        self.database.url_through(address)
    }

    pub(crate) fn direct_url(&self) -> String {
        self.database.url().to_owned()
    }

    pub(crate) fn url(&self) -> String {
        self.url_through(self.proxy.address())
    }

    pub(crate) async fn connect(&self) -> sqlx::Result<Conn> {
        Conn::connect(&self.url()).await
    }

    pub(crate) async fn connect_disarmed(&self) -> Conn {
        self.proxy.disarm();
        self.connect().await.unwrap()
    }

    pub(crate) async fn direct(&self) -> Conn {
        Conn::connect(self.database.url()).await.unwrap()
    }

    pub(crate) async fn rows(conn: &mut Conn) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM t")
            .fetch_one(conn)
            .await
            .unwrap()
    }

    pub(crate) async fn forget_statements(conn: &mut Conn) {
        conn.clear_cached_statements().await.unwrap();
    }

    pub(crate) fn code(error: &sqlx::Error) -> String {
        let error = error.as_database_error().unwrap();
        error.code().unwrap().into_owned()
    }

    pub(crate) fn code_of(error_kind: InjectedError) -> &'static str {
        match error_kind {
            InjectedError::SerializationFailure => "40001",
            InjectedError::Deadlock => "40P01",
        }
    }
}

async fn run(conn: &mut PgConnection, sql: &'static str) -> sqlx::Result<()> {
    raw_sql(sql).execute(conn).await.map(drop)
}

const FAILING: (u64, ProxyFault) = (1, ProxyFault::Fail(InjectedError::SerializationFailure));

#[tokio::test]
async fn a_refused_statement_aborts_its_transaction_up_to_a_savepoint() {
    let db = ProxiedDb::start().await;
    let mut conn = db.connect().await.unwrap();
    run(&mut conn, "BEGIN; INSERT INTO t VALUES (1); SAVEPOINT s")
        .await
        .unwrap();
    db.proxy.arm(&[FAILING, (2, FAILING.1)]);
    let error = run(&mut conn, "INSERT INTO t VALUES (2)")
        .await
        .unwrap_err();
    assert_eq!(ProxiedDb::code(&error), "40001");
    // The second fault does not happen: the server executes nothing here that could fail.
    let error = run(&mut conn, "INSERT INTO t VALUES (3)")
        .await
        .unwrap_err();
    assert_eq!(ProxiedDb::code(&error), "25P02");
    assert_eq!(db.proxy.injected(), 1);
    run(&mut conn, "ROLLBACK TO s; INSERT INTO t VALUES (4); COMMIT")
        .await
        .unwrap();
    assert_eq!(ProxiedDb::rows(&mut db.direct().await).await, 2);
}

#[tokio::test]
async fn a_refused_batch_that_begins_leaves_an_aborted_transaction() {
    let db = ProxiedDb::start().await;
    let mut conn = db.connect().await.unwrap();
    db.proxy.arm(&[FAILING]);
    let error = run(&mut conn, "BEGIN; INSERT INTO t VALUES (1)")
        .await
        .unwrap_err();
    assert_eq!(ProxiedDb::code(&error), "40001");
    let error = run(&mut conn, "SELECT 1").await.unwrap_err();
    assert_eq!(ProxiedDb::code(&error), "25P02");
    run(&mut conn, "ROLLBACK").await.unwrap();
}

#[tokio::test]
async fn a_refused_commit_chains_no_transaction() {
    let db = ProxiedDb::start().await;
    let mut conn = db.connect().await.unwrap();
    run(&mut conn, "BEGIN").await.unwrap();
    db.proxy.arm(&[FAILING]);
    run(&mut conn, "INSERT INTO t VALUES (1); COMMIT AND CHAIN")
        .await
        .unwrap_err();
    run(&mut conn, "INSERT INTO t VALUES (2)").await.unwrap();
    assert_eq!(ProxiedDb::rows(&mut db.direct().await).await, 1);
}

async fn copy_in(conn: &mut PgConnection, rows: &str) -> sqlx::Result<u64> {
    let mut copy = conn.copy_in_raw("COPY t FROM STDIN").await?;
    copy.send(rows.as_bytes()).await?;
    copy.finish().await
}

/// The statement is a round trip, and so are the data that go in.
#[tokio::test]
async fn a_copy_passes_and_is_injured() {
    let db = ProxiedDb::start().await;
    let rows = "1\n".repeat(1000);
    let mut conn = db.connect().await.unwrap();
    db.proxy.arm(&[]);
    assert_eq!(copy_in(&mut conn, &rows).await.unwrap(), 1000);
    let out: Vec<_> = conn
        .copy_out_raw("COPY t TO STDOUT")
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(out.concat(), rows.as_bytes());
    let steps = db.proxy.steps();
    let shown: Vec<_> = steps
        .iter()
        .map(|step| (step.kind, step.sql.as_deref()))
        .collect();
    assert_eq!(
        shown,
        [
            (StepKind::Query, Some("COPY t FROM STDIN")),
            (StepKind::Other, None),
            (StepKind::Query, Some("COPY t TO STDOUT")),
        ]
    );
    for (k, fault, lasts) in [
        (1, ProxyFault::CutReply, 0),
        (2, ProxyFault::CutRequest, 0),
        (2, ProxyFault::CutReply, 1000),
        (2, ProxyFault::TruncateReply, 1000),
    ] {
        run(&mut db.direct().await, "DELETE FROM t").await.unwrap();
        let mut conn = db.connect_disarmed().await;
        db.proxy.arm(&[(k, fault)]);
        copy_in(&mut conn, &rows).await.unwrap_err();
        assert!(db.proxy.settle(Duration::from_mins(1)));
        assert_eq!(ProxiedDb::rows(&mut db.direct().await).await, lasts);
    }
    // A COPY that fails, and one that the client gives up, leave the connection as it was.
    copy_in(&mut conn, "1\nno number\n").await.unwrap_err();
    let copy = conn.copy_in_raw("COPY t FROM STDIN").await.unwrap();
    copy.abort("no").await.unwrap();
    run(&mut conn, "SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_notification_passes_while_nothing_is_asked() {
    let db = ProxiedDb::start().await;
    let mut listener = PgListener::connect(&db.url()).await.unwrap();
    listener.listen("channel").await.unwrap();
    db.proxy.arm(&[]);
    run(&mut db.direct().await, "NOTIFY channel, 'news'")
        .await
        .unwrap();
    assert_eq!(listener.recv().await.unwrap().payload(), "news");
    assert_eq!(db.proxy.count(), 0);
}

/// Passwords pass as they are: by SCRAM, by MD5, in the clear. A role that must use TLS is turned
/// away by the server.
#[tokio::test]
async fn the_server_decides_who_is_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let hba = folder.path().join("hba");
    fs::write(
        &hba,
        "host    all scram 127.0.0.1/32 scram-sha-256\n\
         host    all hash  127.0.0.1/32 md5\n\
         host    all clear 127.0.0.1/32 password\n\
         hostssl all tls   127.0.0.1/32 trust\n\
         host    all postgres 127.0.0.1/32 trust\n",
    )
    .unwrap();
    // The server's account must be able to read them.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let options = Options::default().set("hba_file", hba.display());
    let server = Postgres::start(options).await.unwrap();
    let database = server.database().await;
    let roles = "CREATE ROLE scram LOGIN PASSWORD 'secret'; CREATE ROLE clear LOGIN PASSWORD 'secret'; CREATE ROLE tls LOGIN; \
                 SET password_encryption = 'md5'; CREATE ROLE hash LOGIN PASSWORD 'secret'";
    let mut direct = PgConnection::connect(database.url()).await.unwrap();
    run(&mut direct, roles).await.unwrap();

    let proxy = FaultProxy::start(Protocol::Postgres, server.address()).unwrap();
    let options: PgConnectOptions = database.url_through(proxy.address()).parse().unwrap();
    for (role, handshakes) in [("scram", 3), ("hash", 2), ("clear", 2)] {
        let options = options.clone().username(role);
        proxy.arm(&[]);
        let right = options.clone().password("secret");
        let mut conn = PgConnection::connect_with(&right).await.unwrap();
        let steps = proxy.steps();
        let handshake = |step: &&Step| step.kind == StepKind::Handshake;
        assert_eq!(steps.iter().filter(handshake).count(), handshakes, "{role}");
        run(&mut conn, "SELECT 1").await.unwrap();
        let wrong = options.password("wrong");
        let error = PgConnection::connect_with(&wrong).await.unwrap_err();
        assert_eq!(ProxiedDb::code(&error), "28P01");
        for k in 1..=handshakes as u64 {
            proxy.arm(&[(k, ProxyFault::TruncateReply)]);
            PgConnection::connect_with(&right).await.unwrap_err();
            assert_eq!(proxy.injected(), 1);
        }
    }
    let error = PgConnection::connect_with(&options.username("tls"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no encryption"), "{error}");
    assert!(proxy.settle(Duration::from_mins(1)));
    assert_eq!(proxy.error(), None);
}

/// Speaks to the proxy without a client's help: the answer up to `ReadyForQuery`.
async fn ask(stream: &mut TcpStream, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).await.unwrap();
    let mut reply = Vec::new();
    while !matches!(reply.as_slice(), [.., b'Z', 0, 0, 0, 5, _]) {
        assert!(stream.read_buf(&mut reply).await.unwrap() > 0);
    }
    reply
}

fn query(sql: &str) -> Vec<u8> {
    let length = u32::try_from(sql.len() + 5).unwrap();
    [b"Q", &length.to_be_bytes()[..], sql.as_bytes(), b"\0"].concat()
}

/// sqlx does not look at it. A reply has one end.
#[tokio::test]
async fn the_reply_to_a_refused_request_tells_the_state_that_it_leaves() {
    let db = ProxiedDb::start().await;
    let mut stream = TcpStream::connect(db.proxy.address()).await.unwrap();
    let who = format!("user\0postgres\0database\0{}\0\0", db.database.name());
    let length = u32::try_from(who.len() + 8).unwrap();
    let hello = [&length.to_be_bytes()[..], &[0, 3, 0, 0], who.as_bytes()].concat();
    ask(&mut stream, &hello).await;
    for (before, failing, state) in [
        ("", "SELECT 1", b'I'),
        ("", "BEGIN", b'I'),
        ("", "BEGIN; SELECT 1", b'E'),
        ("", "BEGIN; SELECT 1; COMMIT", b'I'),
        ("BEGIN", "SELECT 1", b'E'),
        ("BEGIN", "COMMIT", b'I'),
        ("BEGIN", "SELECT 1; COMMIT AND CHAIN", b'I'),
        ("BEGIN; SELECT 1/0", "ROLLBACK; SELECT 1", b'I'),
    ] {
        ask(&mut stream, &query(before)).await;
        db.proxy.arm(&[FAILING]);
        let reply = ask(&mut stream, &query(failing)).await;
        assert_eq!(db.proxy.injected(), 1, "{failing}");
        let ends = reply.windows(5).filter(|bytes| *bytes == b"Z\0\0\0\x05");
        assert_eq!(
            (ends.count(), reply.last()),
            (1, Some(&state)),
            "{before}: {failing}"
        );
        db.proxy.disarm();
        ask(&mut stream, &query("ROLLBACK")).await;
    }
}

#[tokio::test]
async fn no_session_is_left_of_a_settled_connection() {
    let db = ProxiedDb::start().await;
    let mut direct = db.direct().await;
    for fault in [
        Some(ProxyFault::CutRequest),
        Some(ProxyFault::CutReply),
        None,
    ]
    .repeat(10)
    {
        let mut conn = db.connect_disarmed().await;
        db.proxy.arm(&[(1, fault.unwrap_or(ProxyFault::CutReply))]);
        if fault.is_some() {
            run(&mut conn, "SELECT 1").await.unwrap_err();
        }
        drop(conn);
        assert!(db.proxy.settle(Duration::from_mins(1)));
        let sessions: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
             AND backend_type = 'client backend'",
        )
        .fetch_one(&mut direct)
        .await
        .unwrap();
        assert_eq!(sessions, 0);
    }
}

#[tokio::test]
async fn what_is_not_the_protocol_is_trouble() {
    let db = ProxiedDb::start().await;
    let mut stream = TcpStream::connect(db.proxy.address()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    let error = db.proxy.error().unwrap();
    assert_eq!(
        error,
        "the proxy closed a connection: the length of a message is impossible"
    );
    db.connect().await.unwrap();
}
