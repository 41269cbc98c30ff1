//! PostgreSQL behind PgBouncer in transaction pooling.

use idem_tests::server::{self, Database};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

#[path = "suite/mod.rs"]
mod suite;

pub(crate) type Conn = sqlx::PgConnection;
pub(crate) type Pool = PgPool;

pub(crate) struct Bed {
    pub(crate) pool: Pool,
    database: Database,
}

impl Bed {
    /// The literal of another relay's ID.
    pub(crate) const THIEF: &str = "'00000000-0000-0000-0000-000000000000'";

    pub(crate) async fn start() -> Self {
        let bed = Self::empty().await;
        // Migrations lock, which needs a session.
        let direct = PgPool::connect(bed.database.direct_url()).await.unwrap();
        idem_runtime::migrate(&direct).await.unwrap();
        direct.close().await;
        bed
    }

    /// Without our tables.
    pub(crate) async fn empty() -> Self {
        let database = server::pgbouncer().database().await;
        Self {
            pool: connect(database.url()).await,
            database,
        }
    }

    /// A pool of its own, as another process has it.
    pub(crate) async fn another_pool(&self) -> Pool {
        connect(self.database.url()).await
    }
}

async fn connect(url: &str) -> Pool {
    let options: PgConnectOptions = url.parse().unwrap();
    PgPoolOptions::new()
        .max_connections(4)
        .connect_with(options.statement_cache_capacity(0))
        .await
        .unwrap()
}
