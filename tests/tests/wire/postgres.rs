//! PostgreSQL, through the proxy.

use std::net::SocketAddr;

use idem_runtime::__testing::{Protocol, Refusal, Wire};
use idem_tests::server::{self, Database};
use sqlx::{Connection as _, PgConnection, PgPool};

#[path = "suite.rs"]
mod suite;

pub(crate) type Conn = PgConnection;
pub(crate) type Pool = PgPool;

pub(crate) struct Bed {
    pub(crate) wire: Wire,
    database: Database,
}

impl Bed {
    pub(crate) const PROTOCOL: Protocol = Protocol::Postgres;
    pub(crate) const INSERT: &'static str = "INSERT INTO t VALUES ($1)";
    pub(crate) const ECHO: &'static str = "SELECT $1::text";

    pub(crate) async fn start() -> Self {
        let database = server::postgres().database().await;
        let wire = Wire::start(Self::PROTOCOL, database.address().unwrap()).unwrap();
        let bed = Self { wire, database };
        sqlx::raw_sql("CREATE TABLE t (x int)")
            .execute(&mut bed.direct().await)
            .await
            .unwrap();
        bed
    }

    pub(crate) fn url_through(&self, address: SocketAddr) -> String {
        self.database.url_through(address)
    }

    pub(crate) fn url(&self) -> String {
        self.url_through(self.wire.address())
    }

    pub(crate) async fn connect(&self) -> sqlx::Result<Conn> {
        Conn::connect(&self.url()).await
    }

    pub(crate) async fn connect_disarmed(&self) -> Conn {
        self.wire.disarm();
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

    pub(crate) fn code_of(refusal: Refusal) -> &'static str {
        match refusal {
            Refusal::SerializationFailure => "40001",
            Refusal::Deadlock => "40P01",
        }
    }
}
