//! MariaDB, and so MySQL: the SQL is what both understand.
//!
//! It keeps the laws of this suite. A wait in the database is counted in whole seconds, rounded up.

use idem_tests::server::{self, Database};
use sqlx::mysql::MySqlPoolOptions;
use sqlx::{MySqlConnection, MySqlPool};

suite!();

pub(crate) type Conn = MySqlConnection;
pub(crate) type Pool = MySqlPool;

#[derive(Debug)]
pub(crate) struct Bed {
    pub(crate) pool: Pool,
    database: Database,
}

impl Bed {
    pub(crate) const WAITS_FOR_KEYS: bool = true;

    pub(crate) const CLAIMS_AFTER_READING: bool = true;

    pub(crate) async fn empty(connections: u32) -> Self {
        let database = server::mariadb().database().await;
        Self {
            pool: connect(database.url(), connections).await,
            database,
        }
    }

    pub(crate) async fn another_pool(&self) -> Pool {
        connect(self.database.url(), 2).await
    }
}

async fn connect(url: &str, connections: u32) -> Pool {
    MySqlPoolOptions::new()
        .max_connections(connections)
        .connect(url)
        .await
        .unwrap()
}

pub(crate) const CLAIMS: &str = "SELECT CONVERT(scope USING utf8mb4), LOWER(HEX(`key`)), LOWER(HEX(fingerprint)), \
    CAST(state AS SIGNED), CAST(result_version AS SIGNED), CONVERT(result USING utf8mb4), \
    CAST(ROUND(TIMESTAMPDIFF(SECOND, created_at, expires_at) / 3600) AS SIGNED) \
    FROM idem_keys ORDER BY scope, `key`";

pub(crate) const EMITTED: &str = "SELECT LOWER(HEX(id)), topic, CONVERT(`key` USING utf8mb4), type, \
    CONVERT(payload USING utf8mb4), content_type, headers FROM idem_outbox ORDER BY seq";

pub(crate) const KEYS_LIKE_OURS: &str =
    "CREATE TABLE many_keys AS SELECT `key` AS bytes FROM idem_keys WHERE false";

pub(crate) const VERSIONS: &str = "SELECT CAST(version AS SIGNED) FROM idem_schema";

pub(crate) const TWO_DAYS_AGO: &str = "created_at - INTERVAL 2 DAY";

pub(crate) const KEY: &str = "`key`";

pub(crate) fn id(hex: &str) -> String {
    bytes(hex)
}

pub(crate) fn bytes(hex: &str) -> String {
    format!("X'{hex}'")
}
