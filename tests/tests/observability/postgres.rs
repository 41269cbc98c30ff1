use idem_tests::server::{self, Database};

pub(crate) type Conn = sqlx::PgConnection;
pub(crate) type Pool = sqlx::PgPool;
pub(crate) const SYSTEM: &str = "postgresql";

pub(crate) async fn database() -> Database {
    server::postgres().database().await
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
