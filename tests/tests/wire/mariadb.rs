//! MariaDB, through the proxy.

use std::net::SocketAddr;

use idem_runtime::__testing::{Protocol, Refusal, Wire};
use idem_tests::server::{self, Database};
use sqlx::mysql::MySqlDatabaseError;
use sqlx::{Connection as _, MySqlConnection, MySqlPool};

#[path = "suite.rs"]
mod suite;

pub(crate) type Conn = MySqlConnection;
pub(crate) type Pool = MySqlPool;

pub(crate) struct Bed {
    pub(crate) wire: Wire,
    database: Database,
}

impl Bed {
    pub(crate) const PROTOCOL: Protocol = Protocol::MySql;
    pub(crate) const INSERT: &'static str = "INSERT INTO t VALUES (?)";
    pub(crate) const ECHO: &'static str = "SELECT ?";

    pub(crate) async fn start() -> Self {
        let database = server::mariadb().database().await;
        let wire = Wire::start(Self::PROTOCOL, database.address().unwrap()).unwrap();
        let bed = Self { wire, database };
        sqlx::raw_sql("CREATE TABLE t (x int); SET GLOBAL max_allowed_packet = 64 * 1024 * 1024")
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
        error
            .downcast_ref::<MySqlDatabaseError>()
            .number()
            .to_string()
    }

    pub(crate) fn code_of(_: Refusal) -> &'static str {
        "1213"
    }
}
