//! awa 0.6, on its default storage.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use awa::model::insert::params_with;
use awa::{
    Client, InsertOpts, JobArgs, JobError, JobResult, QueueConfig, QueueStorage, QueueStorageConfig,
};
use serde::{Deserialize, Serialize};
use sqlx08::PgPool;
use tokio::sync::watch;

use super::pool::connect;
use crate::arm::Payment;
use crate::consumer::arm::Arm;
use crate::consumer::backlog::{MESSAGES, Progress};
use crate::consumer::ours::CONCURRENCY;
use crate::postgres::statements::EFFECT;

const QUEUE: &str = "payments";

/// How often it is looked whether the last jobs are completed.
const LOOK: Duration = Duration::from_millis(2);

#[derive(Serialize, Deserialize, JobArgs)]
struct Apply(Payment);

/// What its own benches use, which run more handlers at once than all others here.
const TUNED: u32 = 100;

pub(super) async fn arms(url: &str) -> Result<[Arm; 2]> {
    // As many as its own benches give it.
    let pool = connect(url, 20).await?;
    awa::migrations::run(&pool).await?;
    let store = Arc::new(QueueStorage::new(QueueStorageConfig::default())?);
    // An empty database gets its storage from the first client that starts.
    let (client, _) = client(&pool, &Arc::default(), CONCURRENCY)?;
    client.start().await?;
    client.shutdown(Duration::from_secs(10)).await;
    let without =
        "dedup once a job is done, stored result, event; effect and completion in one transaction";
    let (tuned_pool, tuned_store) = (pool.clone(), Arc::clone(&store));
    Ok([
        Arm::new("awa 0.6", without, move || {
            slice(pool.clone(), Arc::clone(&store), CONCURRENCY)
        }),
        Arm::new("awa 0.6, 100 handlers at once", without, move || {
            slice(tuned_pool.clone(), Arc::clone(&tuned_store), TUNED)
        }),
    ])
}

/// A client, and how many of its handlers have ended.
fn client(
    pool: &PgPool,
    progress: &Arc<Progress>,
    workers: u32,
) -> Result<(Client, watch::Receiver<u64>)> {
    let (handled, count) = watch::channel(0);
    let (for_effect, progress) = (pool.clone(), Arc::clone(progress));
    let config = QueueConfig {
        max_workers: workers,
        poll_interval: Duration::from_millis(50),
        ..QueueConfig::default()
    };
    let client = Client::builder(pool.clone())
        .queue(QUEUE, config)
        .register::<Apply, _, _>(move |Apply(payment), _| {
            progress.begin();
            let (pool, handled) = (for_effect.clone(), handled.clone());
            async move {
                sqlx08::query(EFFECT)
                    .bind(payment.amount)
                    .bind(payment.account)
                    .execute(&pool)
                    .await
                    .map_err(JobError::retryable)?;
                handled.send_modify(|handled| *handled += 1);
                Ok(JobResult::Completed)
            }
        })
        .build()?;
    Ok((client, count))
}

async fn slice(pool: PgPool, store: Arc<QueueStorage>, workers: u32) -> Result<f64> {
    let opts = || InsertOpts {
        queue: QUEUE.into(),
        ..InsertOpts::default()
    };
    let jobs: Result<Vec<_>, _> = (0..MESSAGES)
        .map(|_| params_with(&Apply(Payment::new()), opts()))
        .collect();
    store.enqueue_params_copy(&pool, &jobs?).await?;
    let waiting = store.queue_counts(&pool, QUEUE).await?.available;
    ensure!(
        waiting == i64::try_from(MESSAGES)?,
        "{waiting} jobs are waiting"
    );
    let progress = Arc::new(Progress::default());
    let (client, mut handled) = client(&pool, &progress, workers)?;
    client.start().await?;
    let all = tokio::time::timeout(
        Duration::from_mins(2),
        handled.wait_for(|handled| *handled >= MESSAGES),
    );
    all.await??;
    let end = std::time::Instant::now() + Duration::from_mins(1);
    loop {
        ensure!(std::time::Instant::now() < end, "jobs were not completed");
        let left = store.queue_counts(&pool, QUEUE).await?;
        if left.available + left.running == 0 {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    progress.end();
    client.shutdown(Duration::from_secs(10)).await;
    progress.rate()
}
