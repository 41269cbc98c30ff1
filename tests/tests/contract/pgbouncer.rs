//! PostgreSQL behind PgBouncer in transaction pooling: another server connection for each transaction, and none of them
//! keeps a prepared statement or a setting.
//!
//! It keeps every law. Connections have `statement_cache_capacity(0)`, since PgBouncer before 1.21 knows nothing of
//! prepared statements: that is what the handlers' own queries need, not ours.

use idem_tests::server::{self, Database};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgConnection, PgPool};

pub(crate) use super::postgres::sql::{
    CLAIMS, EMITTED, KEY, KEYS_LIKE_OURS, NAMESPACE, TWO_DAYS_AGO, VERSIONS, bytes, id,
};

suite!();

pub(crate) type Conn = PgConnection;
pub(crate) type Pool = PgPool;

#[derive(Debug)]
pub(crate) struct Bed {
    pub(crate) pool: Pool,
    options: PgConnectOptions,
    _database: Database,
}

impl Bed {
    pub(crate) const WAITS_FOR_KEYS: bool = true;

    pub(crate) const CLAIMS_AFTER_READING: bool = true;

    pub(crate) async fn empty(connections: u32) -> Self {
        let database = server::pgbouncer().database().await;
        let options: PgConnectOptions = database.url().parse().unwrap();
        let options = options.statement_cache_capacity(0);
        Self {
            pool: connect(&options, connections).await,
            options,
            _database: database,
        }
    }

    pub(crate) async fn another_pool(&self) -> Pool {
        connect(&self.options, 2).await
    }
}

async fn connect(options: &PgConnectOptions, connections: u32) -> Pool {
    PgPoolOptions::new()
        .max_connections(connections)
        .connect_with(options.clone())
        .await
        .unwrap()
}
