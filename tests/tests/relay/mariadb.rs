//! MariaDB.

use idem_tests::server::{self, Database};
use sqlx::MySqlPool;
use sqlx::mysql::MySqlPoolOptions;

#[path = "late.rs"]
mod late;
#[path = "suite/mod.rs"]
mod suite;

pub(crate) type Conn = sqlx::MySqlConnection;
pub(crate) type Pool = MySqlPool;

pub(crate) struct Bed {
    pub(crate) pool: Pool,
    database: Database,
}

impl Bed {
    /// The literal of another relay's ID.
    pub(crate) const THIEF: &str = "X'00000000000000000000000000000000'";

    pub(crate) const READ_UNCOMMITTED: &str =
        "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED";

    pub(crate) async fn start() -> Self {
        let bed = Self::empty().await;
        idem_runtime::migrate(&bed.pool).await.unwrap();
        bed
    }

    /// Without our tables.
    pub(crate) async fn empty() -> Self {
        let database = server::mariadb().database().await;
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
    let options = MySqlPoolOptions::new().max_connections(4);
    options.connect(url).await.unwrap()
}
