use idem_tests::server::{self, Database};

pub(crate) type Pool = sqlx::MySqlPool;

/// So long ago, as a time in a row.
pub(crate) fn ago(seconds: u32) -> String {
    format!("UTC_TIMESTAMP(6) - INTERVAL {seconds} SECOND")
}

pub(crate) const KEY: &str = "`key`";
pub(crate) const PAYLOAD: &str = "X'7b7d'";
/// An ID of an event from a number.
pub(crate) fn id(n: u32) -> String {
    format!("X'{n:032}'")
}

pub(crate) async fn database() -> Database {
    server::mariadb().database().await
}

#[path = "suite.rs"]
mod suite;
