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

/// A subscription that ended long ago, and what extends it from whichever is later, its end or now.
pub(crate) const SUBSCRIPTIONS: &str =
    "CREATE TABLE subscriptions (id varchar(64) PRIMARY KEY, paid_until datetime NOT NULL, token varchar(36));
     INSERT INTO subscriptions VALUES ('evt-1', '2020-01-01 00:00:00', NULL)";
pub(crate) const EXTEND: &str = "UPDATE subscriptions SET paid_until = strftime('%Y-%m-%d %H:%M:%f', \
        max(paid_until, strftime('%Y-%m-%d %H:%M:%f', 'now')), '+30 days') WHERE id = 'evt-1'";

/// A trigger that keeps in one row when an account was changed last.
pub(crate) const AUDIT: &str =
    "CREATE TABLE audit (account integer PRIMARY KEY, changed_at datetime NOT NULL);
     CREATE TRIGGER note_change AFTER UPDATE ON accounts FOR EACH ROW BEGIN
         INSERT OR REPLACE INTO audit VALUES (NEW.id, strftime('%Y-%m-%d %H:%M:%f', 'now'));
     END";

/// Creates a view, if it is not there.
pub(crate) const VIEW: &str = "CREATE VIEW IF NOT EXISTS rich AS SELECT id FROM accounts";

/// Where a process dies, where an acknowledgement is lost, where a statement fails.
pub(crate) const CUT: FaultKind = FaultKind::DroppedMidStatement;
pub(crate) const LOST: FaultKind = FaultKind::DroppedMidStatement;
pub(crate) const FAILED: FaultKind = FaultKind::FailedWrite;

#[allow(clippy::unused_async, reason = "the others have a server to ask")]
pub(crate) async fn database() -> Database {
    server::sqlite()
}
