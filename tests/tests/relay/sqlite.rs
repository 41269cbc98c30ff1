//! SQLite. It has one writer at a time, so there is no transaction that commits later than one with a higher number.

use idem_tests::server::{self, Database};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};

#[path = "suite/mod.rs"]
pub(crate) mod suite;

pub(crate) type Conn = sqlx::SqliteConnection;
pub(crate) type Pool = SqlitePool;

pub(crate) struct Bed {
    pub(crate) pool: Pool,
    database: Database,
}

impl Bed {
    /// The literal of another relay's ID.
    pub(crate) const THIEF: &str = "X'00000000000000000000000000000000'";

    pub(crate) async fn start() -> Self {
        let bed = Self::empty().await;
        idem_runtime::migrate(&bed.pool).await.unwrap();
        bed
    }

    /// Without our tables.
    pub(crate) async fn empty() -> Self {
        let database = server::sqlite();
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
    let options: SqliteConnectOptions = url.parse().unwrap();
    SqlitePoolOptions::new()
        .max_connections(4)
        .connect_with(options.journal_mode(SqliteJournalMode::Wal))
        .await
        .unwrap()
}
