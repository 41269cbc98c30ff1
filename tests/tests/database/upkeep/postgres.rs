use idem_tests::server::{self, Database};

pub(crate) type Pool = sqlx::PgPool;

/// So long ago, as a time in a row.
pub(crate) fn ago(seconds: u32) -> String {
    format!("clock_timestamp() - {seconds} * interval '1 second'")
}

pub(crate) const KEY: &str = "key";
pub(crate) const PAYLOAD: &str = "'\\x7b7d'";
/// An ID of an event from a number.
pub(crate) fn id(n: u32) -> String {
    format!("'00000000-0000-0000-0000-{n:012}'")
}

pub(crate) async fn database() -> Database {
    server::postgres().database().await
}

#[path = "suite.rs"]
mod suite;
