//! A database, and the handlers of the suite.

use idem_runtime::{Event, Outbox, idempotent, outbox};
use idem_tests::server::{self, Database, Postgres};
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, PgPool, raw_sql};

pub(crate) struct Bed {
    pub(crate) pool: PgPool,
    pub(crate) options: PgConnectOptions,
    pub(crate) database: Database,
}

impl Bed {
    pub(crate) async fn start() -> Self {
        Self::on(server::postgres()).await
    }

    pub(crate) async fn on(server: &Postgres) -> Self {
        let database = server.database().await;
        let options: PgConnectOptions = database.url().parse().unwrap();
        let pool = connect(&options, 4).await;
        idem_runtime::migrate(&pool).await.unwrap();
        pool.execute("CREATE TABLE effects (id text NOT NULL)")
            .await
            .unwrap();
        Self {
            pool,
            options,
            database,
        }
    }

    /// A pool whose sessions have these settings.
    pub(crate) async fn with(&self, settings: &[(&str, &str)]) -> PgPool {
        let options = self.options.clone().options(settings.iter().copied());
        connect(&options, 2).await
    }

    pub(crate) async fn execute(&self, sql: &str) {
        raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&self.pool)
            .await
            .unwrap();
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        self.number(&format!("SELECT count(*) FROM {table}")).await
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    pub(crate) async fn ids(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT id::text FROM idem_outbox ORDER BY topic, payload")
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }
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
