//! SQLite. A BEGIN inside of a transaction is an error.

use idem_runtime::testing::Mode;
use idem_tests::server::{self, Database};
use sqlx::{Sqlite, SqliteConnection, SqlitePool};

#[path = "broken.rs"]
mod broken;
#[path = "sound.rs"]
mod sound;
#[path = "template.rs"]
mod template;

pub(crate) type Db = Sqlite;
pub(crate) type Conn = SqliteConnection;
pub(crate) type Pool = SqlitePool;

pub(crate) const IDENTITY: &str = "INTEGER PRIMARY KEY AUTOINCREMENT";
pub(crate) const DDL_COMMITS: bool = false;
pub(crate) const BEGIN_COMMITS: bool = false;

/// Where a process dies, where an acknowledgement is lost, where a statement fails.
pub(crate) const CUT: Mode = Mode::DroppedInside;
pub(crate) const LOST: Mode = Mode::DroppedInside;
pub(crate) const REFUSED: Mode = Mode::Refused;

#[allow(clippy::unused_async, reason = "the others have a server to ask")]
pub(crate) async fn database() -> Database {
    server::sqlite()
}
