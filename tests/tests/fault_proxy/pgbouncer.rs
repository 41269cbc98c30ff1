//! PostgreSQL behind PgBouncer in transaction pooling, through the proxy.

use std::time::Duration;

use idem_testing::__internals::{FaultProxy, InjectedError, Protocol, ProxyFault};
use idem_tests::server::{self, Database};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, raw_sql};

const WITHIN: Duration = Duration::from_mins(1);

/// The transactions of others in this database.
const OPEN: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
    AND pid <> pg_backend_pid() AND xact_start IS NOT NULL";

struct ProxiedDb {
    proxy: FaultProxy,
    database: Database,
}

impl ProxiedDb {
    async fn start() -> Self {
        let database = server::pgbouncer().database().await;
        let proxy = FaultProxy::start(Protocol::Postgres, database.address().unwrap()).unwrap();
        let db = Self { proxy, database };
        run(&mut db.direct().await, "CREATE TABLE t (x int)")
            .await
            .unwrap();
        db
    }

    async fn connect(&self) -> PgConnection {
        let url = self.database.url_through(self.proxy.address());
        let options: PgConnectOptions = url.parse().unwrap();
        let options = options.statement_cache_capacity(0);
        PgConnection::connect_with(&options).await.unwrap()
    }

    /// Past the pooler.
    async fn direct(&self) -> PgConnection {
        PgConnection::connect(self.database.direct_url())
            .await
            .unwrap()
    }

    async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(&mut self.direct().await)
            .await
            .unwrap()
    }
}

/// Leaves files that the server removes when it rolls back, which takes a timestamp.
const MUCH: &str = "DO $$ BEGIN FOR n IN 1..200 LOOP EXECUTE 'CREATE TABLE much_' || n || ' (x text PRIMARY KEY)'; END LOOP; END $$";

async fn run(conn: &mut PgConnection, sql: &'static str) -> sqlx::Result<()> {
    raw_sql(sql).execute(conn).await.map(drop)
}

/// The pooler closes the client's connection at once, whatever becomes of the server's.
#[tokio::test]
async fn what_is_settled_is_in_no_transaction() {
    let db = ProxiedDb::start().await;
    for (k, fault) in [
        (1, ProxyFault::CutReply),
        (2, ProxyFault::CutRequest),
        (2, ProxyFault::CutReply),
        (3, ProxyFault::CutRequest),
        (3, ProxyFault::CutReply),
        (3, ProxyFault::TruncateReply),
    ] {
        let mut conn = db.connect().await;
        db.proxy.arm(&[(k, fault)]);
        let transaction = async {
            run(&mut conn, "BEGIN; INSERT INTO t VALUES (1)").await?;
            run(&mut conn, MUCH).await?;
            run(&mut conn, "SELECT 1").await
        };
        transaction.await.unwrap_err();
        assert_eq!(db.proxy.injected(), 1);
        assert!(db.proxy.settle(WITHIN));
        assert_eq!(db.number(OPEN).await, 0);
        assert_eq!(db.number("SELECT count(*) FROM t").await, 0);
    }
}

#[tokio::test]
async fn a_refused_commit_rolls_back_and_its_connection_lives_on() {
    let db = ProxiedDb::start().await;
    let mut conn = db.connect().await;
    for error_kind in [InjectedError::SerializationFailure, InjectedError::Deadlock] {
        run(&mut conn, "BEGIN").await.unwrap();
        run(&mut conn, "INSERT INTO t VALUES (1)").await.unwrap();
        db.proxy.arm(&[(1, ProxyFault::Fail(error_kind))]);
        run(&mut conn, "COMMIT").await.unwrap_err();
        assert_eq!(db.proxy.injected(), 1);
    }
    run(&mut conn, "INSERT INTO t VALUES (2)").await.unwrap();
    assert_eq!(db.number("SELECT count(*) FROM t").await, 1);
}
