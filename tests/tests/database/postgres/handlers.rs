//! A database, and the handlers that run in it.

use idem_runtime::{Event, Outbox, idempotent, outbox};
use idem_tests::TestDb;
use idem_tests::server::{self, Postgres};
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgConnection, PgPool, raw_sql};

pub(crate) type Db = TestDb<sqlx::Postgres>;

/// A database with our tables and those of the handlers.
pub(crate) async fn start() -> Db {
    on(server::postgres()).await
}

pub(crate) async fn on(server: &Postgres) -> Db {
    let db = Db::on(server.database().await, 4).await;
    db.migrate().await;
    db.execute("CREATE TABLE effects (id text NOT NULL)").await;
    db
}

/// A pool whose sessions have these settings.
pub(crate) async fn pool_with(db: &Db, settings: &[(&str, &str)]) -> PgPool {
    let options = db.options().options(settings.iter().copied());
    connect(&options, 2).await
}

pub(crate) async fn count(db: &Db, table: &str) -> i64 {
    db.number(&format!("SELECT count(*) FROM {table}")).await
}

pub(crate) async fn connect(options: &PgConnectOptions, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .connect_with(options.clone())
        .await
        .unwrap()
}

#[derive(Serialize, Deserialize, Event)]
#[event(topic = "postgres.done")]
pub(crate) struct Done {
    pub(crate) text: String,
}

/// Runs statements; returns a text and emits this many events of it.
#[idempotent(key = "id", scope = "postgres.runs")]
#[outbox]
pub(crate) async fn runs(
    tx: &mut PgConnection,
    outbox: &mut Outbox<Done>,
    id: &str,
    sql: &str,
    text: &str,
    events: usize,
) -> Result<String, sqlx::Error> {
    perform(tx, sql).await?;
    for n in 0..events {
        let text = format!("{text}{}", "+".repeat(n));
        outbox.emit(&Done { text });
    }
    Ok(text.into())
}

/// The same without a key.
#[outbox]
pub(crate) async fn keyless(
    tx: &mut PgConnection,
    outbox: &mut Outbox<Done>,
    sql: &str,
    text: &str,
) -> Result<String, sqlx::Error> {
    perform(tx, sql).await?;
    outbox.emit(&Done { text: text.into() });
    Ok(text.into())
}

pub(crate) async fn perform(tx: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    let sql = AssertSqlSafe(sql.to_owned());
    raw_sql(sql).execute(tx).await.map(drop)
}
