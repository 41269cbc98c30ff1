//! MariaDB. DDL commits, and so does a BEGIN inside of a transaction.

use idem_runtime::testing::Mode;
use idem_tests::server::{self, Database};
use sqlx::{MySql, MySqlConnection, MySqlPool};

#[path = "broken.rs"]
mod broken;
#[path = "sound.rs"]
mod sound;
#[path = "template.rs"]
mod template;

pub(crate) type Db = MySql;
pub(crate) type Conn = MySqlConnection;
pub(crate) type Pool = MySqlPool;

pub(crate) const IDENTITY: &str = "bigint AUTO_INCREMENT PRIMARY KEY";
pub(crate) const DDL_COMMITS: bool = true;
pub(crate) const BEGIN_COMMITS: bool = true;

/// Where a connection dies, where an acknowledgement is lost, where a statement fails.
pub(crate) const CUT: Mode = Mode::CutRequest;
pub(crate) const LOST: Mode = Mode::CutReply;
pub(crate) const REFUSED: Mode = Mode::Deadlock;

pub(crate) async fn database() -> Database {
    server::mariadb().database().await
}
