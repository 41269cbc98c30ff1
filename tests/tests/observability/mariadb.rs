use idem_tests::server::{self, Database};

pub(crate) type Conn = sqlx::MySqlConnection;
pub(crate) type Pool = sqlx::MySqlPool;
pub(crate) const SYSTEM: &str = "mysql";

pub(crate) async fn database() -> Database {
    server::mariadb().database().await
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
