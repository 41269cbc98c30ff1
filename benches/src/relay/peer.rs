//! The relay of outbox-postgres 0.3.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use outbox_core::prelude::{
    Event, OutboxConfig, OutboxError, OutboxManager, OutboxManagerBuilder, Transport,
};
use outbox_postgres::PostgresOutbox;
use serde::{Deserialize, Serialize};
use sqlx08::PgPool;
use tokio::sync::watch;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Text(String);

/// Confirms at once.
struct Confirm(watch::Sender<u64>);

#[async_trait::async_trait]
impl Transport<Text> for Confirm {
    async fn publish(&self, _event: Event<Text>) -> Result<(), OutboxError> {
        self.0.send_modify(|count| *count += 1);
        Ok(())
    }
}

pub(super) struct Peer {
    pool: PgPool,
    confirmed: watch::Receiver<u64>,
    _shutdown: watch::Sender<bool>,
}

impl Peer {
    /// `None`: the size of a batch, and how often it polls, are its own.
    pub(super) async fn start(url: &str, batch: Option<u32>) -> Result<Self> {
        let pool = sqlx08::postgres::PgPoolOptions::new()
            .max_connections(8)
            .connect(url)
            .await?;
        let migrations = env!("OUTBOX_POSTGRES_MIGRATIONS");
        sqlx08::migrate::Migrator::new(std::path::Path::new(migrations))
            .await?
            .run(&pool)
            .await
            .with_context(|| format!("the migrations in {migrations}"))?;
        let (count, confirmed) = watch::channel(0);
        let (shutdown, stopped) = watch::channel(false);
        let mut config = OutboxConfig::<Text>::default();
        if let Some(batch) = batch {
            config.batch_size = batch;
            config.poll_interval_secs = 1;
        }
        let config = Arc::new(config);
        let manager: OutboxManager<_, _, Text> = OutboxManagerBuilder::new()
            .storage(Arc::new(PostgresOutbox::new(pool.clone(), config.clone())))
            .publisher(Arc::new(Confirm(count)))
            .config(config)
            .shutdown_rx(stopped)
            .build()?;
        tokio::spawn(manager.run());
        Ok(Self {
            pool,
            confirmed,
            _shutdown: shutdown,
        })
    }

    /// From the commit of the events to the last confirmation.
    pub(super) async fn drain(&self, events: u64) -> Result<f64> {
        let mut confirmed = self.confirmed.clone();
        let goal = *confirmed.borrow() + events;
        // Its trigger notifies at COMMIT, for each row.
        let sql = "INSERT INTO outbox_events (event_type, payload) \
             SELECT 'bench', to_jsonb(repeat('x', 98)) FROM generate_series(1, $1)";
        sqlx08::query(sql)
            .bind(i64::try_from(events)?)
            .execute(&self.pool)
            .await?;
        let start = Instant::now();
        let before = *confirmed.borrow();
        confirmed.wait_for(|count| *count >= goal).await?;
        let rest = (goal - before) as f64;
        let rate = rest / start.elapsed().as_secs_f64();
        // Until it is idle again, so that it slows down nobody else.
        while sqlx08::query_scalar("SELECT count(*) FROM outbox_events WHERE status <> 'Sent'")
            .fetch_one(&self.pool)
            .await
            .map(|left: i64| left > 0)?
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(rate)
    }
}
