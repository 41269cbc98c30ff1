//! MariaDB, through the proxy.

use std::net::SocketAddr;

use idem_testing::__internals::{
    FaultProxy, InjectedError, Protocol, ProxyFault, Server, StepKind,
};
use idem_tests::server::{self, Database};
use sqlx::mysql::{MySqlConnectOptions, MySqlDatabaseError};
use sqlx::{Connection as _, MySqlConnection, MySqlPool, Row as _, raw_sql};

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

pub(crate) type Conn = MySqlConnection;
pub(crate) type Pool = MySqlPool;

pub(crate) struct ProxiedDb {
    pub(crate) proxy: FaultProxy,
    database: Database,
}

impl ProxiedDb {
    pub(crate) const PROTOCOL: Protocol = Protocol::MySql;
    pub(crate) const INSERT: &'static str = "INSERT INTO t VALUES (?)";
    pub(crate) const ECHO: &'static str = "SELECT ?";
    /// Changes that take a while to be rolled back.
    pub(crate) const MUCH: &'static str = "INSERT INTO t SELECT seq FROM seq_1_to_200000";

    pub(crate) async fn start() -> Self {
        let database = server::mariadb().database().await;
        let proxy = FaultProxy::start(Self::PROTOCOL, database.address().unwrap()).unwrap();
        let db = Self { proxy, database };
        sqlx::raw_sql("CREATE TABLE t (x int); SET GLOBAL max_allowed_packet = 64 * 1024 * 1024")
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
        error
            .downcast_ref::<MySqlDatabaseError>()
            .number()
            .to_string()
    }

    pub(crate) fn code_of(_: InjectedError) -> &'static str {
        "1213"
    }
}

async fn run(conn: &mut MySqlConnection, sql: &'static str) -> sqlx::Result<()> {
    raw_sql(sql).execute(conn).await.map(drop)
}

async fn number(conn: &mut MySqlConnection, sql: &'static str) -> i64 {
    let row = raw_sql(sql).fetch_one(conn).await.unwrap();
    row.get(0)
}

const FAILING: (u64, ProxyFault) = (1, ProxyFault::Fail(InjectedError::Deadlock));

/// As a deadlock does: savepoints are gone with the transaction, and `autocommit` stays as it was.
#[tokio::test]
async fn a_refused_statement_rolls_the_whole_transaction_back() {
    let db = ProxiedDb::start().await;
    let mut conn = db.connect().await.unwrap();
    run(
        &mut conn,
        "SET autocommit = 0; INSERT INTO t VALUES (1); SAVEPOINT s",
    )
    .await
    .unwrap();
    db.proxy.arm(&[FAILING]);
    let error = run(&mut conn, "INSERT INTO t VALUES (2)")
        .await
        .unwrap_err();
    assert_eq!(ProxiedDb::code(&error), "1213");
    let error = run(&mut conn, "RELEASE SAVEPOINT s").await.unwrap_err();
    assert_eq!(ProxiedDb::code(&error), "1305");
    // The next transaction begins by itself.
    assert_eq!(number(&mut conn, "SELECT @@autocommit").await, 0);
    run(&mut conn, "INSERT INTO t VALUES (3)").await.unwrap();
    assert_eq!(ProxiedDb::rows(&mut db.direct().await).await, 0);
    run(&mut conn, "COMMIT").await.unwrap();
    assert_eq!(ProxiedDb::rows(&mut db.direct().await).await, 1);
}

#[tokio::test]
async fn what_a_batch_has_set_before_it_is_refused_stays_set() {
    let db = ProxiedDb::start().await;
    let mut conn = db.connect().await.unwrap();
    db.proxy.arm(&[FAILING]);
    run(
        &mut conn,
        "SET @before = 7, autocommit = 0; INSERT INTO t VALUES (1); SET @after = 8",
    )
    .await
    .unwrap_err();
    assert_eq!(db.proxy.injected(), 1);
    let set = "SELECT CAST(@before * 10 + @@autocommit + IFNULL(@after, 0) AS SIGNED)";
    assert_eq!(number(&mut conn, set).await, 70);
}

#[tokio::test]
async fn the_results_of_a_procedure_are_one_reply() {
    let db = ProxiedDb::start().await;
    let mut direct = db.direct().await;
    run(
        &mut direct,
        "INSERT INTO t VALUES (1), (2); \
         CREATE PROCEDURE twice() BEGIN SELECT x FROM t; SELECT x + 10 FROM t; END",
    )
    .await
    .unwrap();
    let mut conn = db.connect().await.unwrap();
    db.proxy.arm(&[]);
    let rows = raw_sql("CALL twice(); SELECT 5")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    assert_eq!(rows.len(), 5);
    assert_eq!(db.proxy.count(), 1);
    db.proxy.arm(&[(1, ProxyFault::TruncateReply)]);
    raw_sql("CALL twice(); SELECT 5")
        .fetch_all(&mut conn)
        .await
        .unwrap_err();
}

/// A password passes as it is. The client's own greeting and one more round trip, if the server
/// asks for another method.
#[tokio::test]
async fn the_server_decides_who_is_let_in() {
    let db = ProxiedDb::start().await;
    let mut direct = db.direct().await;
    run(
        &mut direct,
        "CREATE OR REPLACE USER proxied@'127.0.0.1' IDENTIFIED BY 'secret'; GRANT ALL ON *.* TO proxied@'127.0.0.1'",
    )
    .await
    .unwrap();
    let options: MySqlConnectOptions = db.url().parse().unwrap();
    let options = options.username("proxied");
    db.proxy.arm(&[]);
    let right = options.clone().password("secret");
    let mut conn = MySqlConnection::connect_with(&right).await.unwrap();
    assert_eq!(db.proxy.steps()[0].kind, StepKind::Handshake);
    run(&mut conn, "SELECT 1").await.unwrap();
    let wrong = options.password("wrong");
    let error = MySqlConnection::connect_with(&wrong).await.unwrap_err();
    assert_eq!(ProxiedDb::code(&error), "1045");
    assert_eq!(db.proxy.error(), None);
}

#[tokio::test]
async fn a_server_is_reached_by_its_socket() {
    let server = server::mariadb();
    let socket = server.folder().join("data/server.sock");
    let proxy = FaultProxy::start(Protocol::MySql, Server::Unix(socket)).unwrap();
    let database = server.database().await;
    let url = database.url_through(proxy.address());
    let mut conn = MySqlConnection::connect(&url).await.unwrap();
    proxy.arm(&[(2, ProxyFault::CutReply)]);
    run(&mut conn, "CREATE TABLE t (x int)").await.unwrap();
    run(&mut conn, "INSERT INTO t VALUES (1)")
        .await
        .unwrap_err();
    assert!(proxy.settle(std::time::Duration::from_mins(1)));
    let mut direct = MySqlConnection::connect(database.url()).await.unwrap();
    assert_eq!(ProxiedDb::rows(&mut direct).await, 1);
}
