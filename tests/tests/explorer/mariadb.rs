//! MariaDB. DDL commits, and so does a BEGIN inside of a transaction.

use idem_testing::FaultKind;
use idem_tests::server::{self, Database};
use sqlx::{MySql, MySqlConnection, MySqlPool};

#[path = "suite/mod.rs"]
mod suite;

pub(crate) type Db = MySql;
pub(crate) type Conn = MySqlConnection;
pub(crate) type Pool = MySqlPool;

pub(crate) const IDENTITY: &str = "bigint AUTO_INCREMENT PRIMARY KEY";
pub(crate) const DDL_COMMITS: bool = true;
pub(crate) const BEGIN_COMMITS: bool = true;

/// A subscription that ended long ago, and what extends it from whichever is later, its end or now.
pub(crate) const SUBSCRIPTIONS: &str =
    "CREATE TABLE subscriptions (id varchar(64) PRIMARY KEY, paid_until datetime(6) NOT NULL, token varchar(36));
     INSERT INTO subscriptions VALUES ('evt-1', '2020-01-01 00:00:00', NULL)";
pub(crate) const EXTEND: &str = "UPDATE subscriptions SET paid_until = GREATEST(paid_until, NOW(6)) + INTERVAL 30 DAY WHERE id = 'evt-1'";

/// A trigger that keeps in one row when an account was changed last.
pub(crate) const AUDIT: &str =
    "CREATE TABLE audit (account integer PRIMARY KEY, changed_at datetime(6) NOT NULL);
     CREATE TRIGGER note_change AFTER UPDATE ON accounts FOR EACH ROW
         REPLACE INTO audit VALUES (NEW.id, NOW(6))";

/// Creates a view, if it is not there.
pub(crate) const VIEW: &str = "CREATE OR REPLACE VIEW rich AS SELECT id FROM accounts";

/// Where a connection dies, where an acknowledgement is lost, where a statement fails.
pub(crate) const CUT: FaultKind = FaultKind::CutRequest;
pub(crate) const LOST: FaultKind = FaultKind::CutReply;
pub(crate) const FAILED: FaultKind = FaultKind::Deadlock;

pub(crate) async fn database() -> Database {
    server::mariadb().database().await
}
