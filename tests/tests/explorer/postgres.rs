//! PostgreSQL. DDL is part of the transaction: a handler with DDL is sound.

use idem_testing::FaultKind;
use idem_tests::server::{self, Database};
use sqlx::{PgConnection, PgPool, Postgres};

#[path = "suite/mod.rs"]
mod suite;

pub(crate) type Db = Postgres;
pub(crate) type Conn = PgConnection;
pub(crate) type Pool = PgPool;

pub(crate) const IDENTITY: &str = "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY";
pub(crate) const DDL_COMMITS: bool = false;
pub(crate) const BEGIN_COMMITS: bool = true;

/// Where a connection dies, where an acknowledgement is lost, where a statement fails.
pub(crate) const CUT: FaultKind = FaultKind::CutRequest;
pub(crate) const LOST: FaultKind = FaultKind::CutReply;
pub(crate) const FAILED: FaultKind = FaultKind::Deadlock;

pub(crate) async fn database() -> Database {
    server::postgres().database().await
}
