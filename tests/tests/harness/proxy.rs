//! The proxy between a real client and a real server.

use std::time::{Duration, Instant};

use idem_tests::proxy::{Proxy, Traffic, When};
use idem_tests::server::{self, Database};
use sqlx::{Connection as _, PgConnection};

struct Fixture {
    database: Database,
    proxy: Proxy,
}

impl Fixture {
    async fn new() -> Self {
        let database = server::postgres().database().await;
        let proxy = Proxy::start(database.address().unwrap()).unwrap();
        let fixture = Self { database, proxy };
        run(&mut fixture.direct().await, "CREATE TABLE t (x int)")
            .await
            .unwrap();
        fixture
    }

    async fn direct(&self) -> PgConnection {
        PgConnection::connect(self.database.url()).await.unwrap()
    }

    async fn connect(&self) -> sqlx::Result<PgConnection> {
        PgConnection::connect(&self.database.url_through(self.proxy.address())).await
    }

    async fn rows(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM t")
            .fetch_one(&mut self.direct().await)
            .await
            .unwrap()
    }

    /// What passes while `statement` runs.
    async fn traffic_of(&self, connection: &mut PgConnection, statement: &'static str) -> Traffic {
        let before = self.proxy.traffic();
        run(connection, statement).await.unwrap();
        let after = self.proxy.traffic();
        Traffic {
            connections: after.connections - before.connections,
            requests: after.requests - before.requests,
            to_server: after.to_server - before.to_server,
            to_client: after.to_client - before.to_client,
        }
    }
}

async fn run(connection: &mut PgConnection, statement: &'static str) -> sqlx::Result<()> {
    sqlx::raw_sql(statement).execute(connection).await.map(drop)
}

#[tokio::test]
async fn what_passes_is_counted() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.proxy.traffic(), Traffic::default());
    let mut connection = fixture.connect().await.unwrap();
    assert_eq!(fixture.proxy.traffic().connections, 1);
    let passed = fixture.traffic_of(&mut connection, "BEGIN").await;
    let expected = Traffic {
        connections: 0,
        requests: 1,
        // 'Q', length, "BEGIN", NUL; the answer is CommandComplete and ReadyForQuery.
        to_server: 1 + 4 + 5 + 1,
        to_client: (1 + 4 + 5 + 1) + (1 + 4 + 1),
    };
    assert_eq!(passed, expected);
}

#[tokio::test]
async fn a_request_and_a_reply_larger_than_the_buffer_are_one_round_trip() {
    let fixture = Fixture::new().await;
    let mut connection = fixture.connect().await.unwrap();
    sqlx::query("SELECT $1::text")
        .bind("")
        .execute(&mut connection)
        .await
        .unwrap();
    let before = fixture.proxy.traffic().requests;
    let long = "x".repeat(3_000_000);
    let echoed: String = sqlx::query_scalar("SELECT $1::text")
        .bind(&long)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(echoed == long, "the text was changed on its way");
    assert_eq!(fixture.proxy.traffic().requests - before, 1);
}

#[tokio::test]
async fn a_delay_holds_back_each_way() {
    let fixture = Fixture::new().await;
    let mut connection = fixture.connect().await.unwrap();
    let each_way = Duration::from_millis(40);
    fixture.proxy.delay(each_way);
    let start = Instant::now();
    let passed = fixture.traffic_of(&mut connection, "SELECT 1").await;
    assert!(start.elapsed() >= 2 * each_way, "{:?}", start.elapsed());
    assert_eq!(passed.requests, 1);
}

#[tokio::test]
async fn cut_connections_fail_and_new_ones_do_not() {
    let fixture = Fixture::new().await;
    let (mut first, mut second) = (
        fixture.connect().await.unwrap(),
        fixture.connect().await.unwrap(),
    );
    run(&mut first, "BEGIN; INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    fixture.proxy.cut_all();
    run(&mut first, "COMMIT").await.unwrap_err();
    run(&mut second, "SELECT 1").await.unwrap_err();
    run(&mut fixture.connect().await.unwrap(), "SELECT 1")
        .await
        .unwrap();
    assert_eq!(fixture.rows().await, 0);
}

#[tokio::test]
async fn refused_connections_fail_and_open_ones_do_not() {
    let fixture = Fixture::new().await;
    let mut open = fixture.connect().await.unwrap();
    fixture.proxy.refuse(true);
    fixture.connect().await.unwrap_err();
    run(&mut open, "SELECT 1").await.unwrap();
    fixture.proxy.refuse(false);
    fixture.connect().await.unwrap();
}

#[tokio::test]
async fn a_lost_request_never_reaches_the_server() {
    let fixture = Fixture::new().await;
    let mut connection = fixture.connect().await.unwrap();
    let lost = fixture.proxy.lose_request(When::Contains("COMMIT"));
    run(&mut connection, "BEGIN").await.unwrap();
    run(&mut connection, "INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    assert!(!lost.happened());
    run(&mut connection, "COMMIT").await.unwrap_err();
    assert!(lost.happened());
    assert_eq!(fixture.rows().await, 0);
}

#[tokio::test]
async fn a_lost_reply_is_one_to_a_request_that_took_effect() {
    let fixture = Fixture::new().await;
    let mut connection = fixture.connect().await.unwrap();
    let lost = fixture.proxy.lose_reply(When::Contains("COMMIT"));
    run(&mut connection, "BEGIN").await.unwrap();
    run(&mut connection, "INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    assert!(!lost.happened());
    run(&mut connection, "COMMIT").await.unwrap_err();
    assert!(lost.happened());
    assert_eq!(fixture.rows().await, 1);
    // Once only.
    let mut again = fixture.connect().await.unwrap();
    run(&mut again, "BEGIN; COMMIT").await.unwrap();
}

#[tokio::test]
async fn the_request_to_lose_is_told_by_its_number() {
    let fixture = Fixture::new().await;
    let mut connection = fixture.connect().await.unwrap();
    let lost = fixture.proxy.lose_reply(When::Request(2));
    run(&mut connection, "INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    assert!(!lost.happened());
    run(&mut connection, "INSERT INTO t VALUES (2)")
        .await
        .unwrap_err();
    assert!(lost.happened());
    assert_eq!(fixture.rows().await, 2);
}

#[tokio::test]
async fn connections_end_with_their_proxy() {
    let Fixture { database, proxy } = Fixture::new().await;
    let url = database.url_through(proxy.address());
    let mut connection = PgConnection::connect(&url).await.unwrap();
    drop(proxy);
    run(&mut connection, "SELECT 1").await.unwrap_err();
    PgConnection::connect(&url).await.unwrap_err();
}

#[tokio::test]
async fn a_reply_that_is_swallowed_leaves_the_connection_open_and_the_work_done() {
    let fixture = Fixture::new().await;
    let mut connection = fixture.connect().await.unwrap();
    let lost = fixture.proxy.swallow_reply(When::Contains("INSERT"));
    let mut insert = Box::pin(run(&mut connection, "INSERT INTO t VALUES (1)"));
    let done = async {
        while !lost.happened() {
            fixture.rows().await;
        }
    };
    tokio::select! {
        ended = &mut insert => panic!("it was answered: {ended:?}"),
        () = done => {}
    }
    assert_eq!(fixture.rows().await, 1);
    assert!(futures_util::FutureExt::now_or_never(insert).is_none());
    // Others go on.
    let mut other = fixture.connect().await.unwrap();
    run(&mut other, "INSERT INTO t VALUES (2)").await.unwrap();
}
