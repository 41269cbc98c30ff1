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

/// Where a connection dies, where an acknowledgement is lost, where a statement fails.
pub(crate) const CUT: FaultKind = FaultKind::CutRequest;
pub(crate) const LOST: FaultKind = FaultKind::CutReply;
pub(crate) const FAILED: FaultKind = FaultKind::Deadlock;

pub(crate) async fn database() -> Database {
    server::mariadb().database().await
}
