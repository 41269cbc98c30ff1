//! SQLite. A BEGIN inside of a transaction is an error.

use idem_testing::FaultKind;
use idem_tests::server::{self, Database};
use sqlx::{Sqlite, SqliteConnection, SqlitePool};

#[path = "suite/mod.rs"]
mod suite;

pub(crate) type Db = Sqlite;
pub(crate) type Conn = SqliteConnection;
pub(crate) type Pool = SqlitePool;

pub(crate) const IDENTITY: &str = "INTEGER PRIMARY KEY AUTOINCREMENT";
pub(crate) const DDL_COMMITS: bool = false;
pub(crate) const BEGIN_COMMITS: bool = false;

/// Where a process dies, where an acknowledgement is lost, where a statement fails.
pub(crate) const CUT: FaultKind = FaultKind::DroppedInside;
pub(crate) const LOST: FaultKind = FaultKind::DroppedInside;
pub(crate) const FAILED: FaultKind = FaultKind::FailedWrite;

#[allow(clippy::unused_async, reason = "the others have a server to ask")]
pub(crate) async fn database() -> Database {
    server::sqlite()
}
