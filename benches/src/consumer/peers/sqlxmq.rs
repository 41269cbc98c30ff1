//! sqlxmq 0.6.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use sqlx08::PgPool;
use sqlx08::migrate::Migrator;
use sqlxmq::{CurrentJob, JobBuilder, JobRunnerOptions};

use super::pool::connect;
use crate::arm::Payment;
use crate::consumer::arm::Arm;
use crate::consumer::backlog::{MESSAGES, Progress};
use crate::consumer::ours::CONCURRENCY;
use crate::postgres::statements::EFFECT;

const CHANNEL: &str = "payments";

pub(super) async fn arm(url: &str) -> Result<Arm> {
    let pool = connect(url, CONCURRENCY + 2).await?;
    let migrations = env!("SQLXMQ_MIGRATIONS");
    Migrator::new(Path::new(migrations))
        .await?
        .run(&pool)
        .await
        .with_context(|| format!("the migrations in {migrations}"))?;
    Ok(Arm::new(
        "sqlxmq 0.6",
        "dedup once a job is done, stored result, event",
        move || slice(pool.clone()),
    ))
}

async fn slice(pool: PgPool) -> Result<f64> {
    let mut tx = pool.begin().await?;
    for _ in 0..MESSAGES {
        let payment = Payment::new();
        JobBuilder::new_with_id(payment.id, "payment")
            .set_channel_name(CHANNEL)
            .set_json(&payment)?
            .spawn(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    let progress = Arc::new(Progress::default());
    let counted = Arc::clone(&progress);
    let mut runner = JobRunnerOptions::new(&pool, move |job| {
        let progress = Arc::clone(&counted);
        progress.begin();
        tokio::spawn(async move {
            // One that fails is missing at the end.
            if complete(job).await.is_ok() {
                progress.done();
            }
        });
    });
    // It fetches more when fewer than the first are running, up to the second, and its pool bounds
    // how many of them do something.
    runner
        .set_concurrency(CONCURRENCY as usize, CONCURRENCY as usize * 2)
        .set_channel_names(&[CHANNEL]);
    let mut running = runner.run().await?;
    progress.all_done().await?;
    running.stop().await;
    progress.rate()
}

async fn complete(mut job: CurrentJob) -> Result<()> {
    let payment: Payment = job.json()?.context("sqlxmq's job has no payload")?;
    let mut tx = job.pool().begin().await?;
    sqlx08::query(EFFECT)
        .bind(payment.amount)
        .bind(payment.account)
        .execute(&mut *tx)
        .await?;
    job.complete_with_transaction(tx).await?;
    Ok(())
}
