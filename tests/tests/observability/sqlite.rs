use std::future::ready;

use idem_tests::server::{self, Database};

pub(crate) type Conn = sqlx::SqliteConnection;
pub(crate) type Pool = sqlx::SqlitePool;
pub(crate) const SYSTEM: &str = "sqlite";

pub(crate) async fn database() -> Database {
    ready(server::sqlite()).await
}

#[path = "batches.rs"]
mod batches;
#[path = "consumer.rs"]
mod consumer;
#[path = "handlers.rs"]
mod handlers;
#[path = "outcomes.rs"]
mod outcomes;
#[path = "relay.rs"]
mod relay;
