//! PostgreSQL. DDL is part of the transaction: a handler with DDL is sound.

use idem_runtime::testing::Mode;
use idem_tests::server::{self, Database};
use sqlx::{PgConnection, PgPool, Postgres};

#[path = "broken.rs"]
mod broken;
#[path = "sound.rs"]
mod sound;
#[path = "template.rs"]
mod template;

pub(crate) type Db = Postgres;
pub(crate) type Conn = PgConnection;
pub(crate) type Pool = PgPool;

pub(crate) const IDENTITY: &str = "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY";
pub(crate) const DDL_COMMITS: bool = false;
pub(crate) const BEGIN_COMMITS: bool = true;

/// Where a connection dies, where an acknowledgement is lost, where a statement fails.
pub(crate) const CUT: Mode = Mode::CutRequest;
pub(crate) const LOST: Mode = Mode::CutReply;
pub(crate) const REFUSED: Mode = Mode::Deadlock;

pub(crate) async fn database() -> Database {
    server::postgres().database().await
}
