//! apalis 1.0 with apalis-postgres.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use apalis::prelude::*;
use apalis_postgres::{Config, PgPool, PostgresStorage};
use tokio::sync::watch;

use crate::arm::Payment;
use crate::consumer::arm::Arm;
use crate::consumer::backlog::{MESSAGES, Progress};
use crate::consumer::ours::CONCURRENCY;
use crate::postgres::connect_many;
use crate::postgres::statements::{ACCOUNTS, EFFECT};

const QUEUE: &str = "payments";

pub(super) async fn arm(url: &str) -> Result<Arm> {
    // One for each handler, one that fetches, one that completes.
    let pool = connect_many(url, CONCURRENCY + 2).await?;
    sqlx::raw_sql(ACCOUNTS).execute(&pool).await?;
    PostgresStorage::setup(&pool).await?;
    Ok(Arm::new(
        "apalis 1.0",
        "dedup unless asked for, event; effect and completion in one transaction; the last completions are not waited for",
        move || slice(pool.clone()),
    ))
}

/// What a handler needs.
#[derive(Clone)]
struct Context {
    pool: PgPool,
    progress: Arc<Progress>,
    handled: watch::Sender<u64>,
}

async fn apply(payment: Payment, context: Data<Context>) -> Result<(), BoxDynError> {
    context.progress.begin();
    sqlx::query(EFFECT)
        .bind(payment.amount)
        .bind(payment.account)
        .execute(&context.pool)
        .await?;
    context.handled.send_modify(|handled| *handled += 1);
    Ok(())
}

async fn slice(pool: PgPool) -> Result<f64> {
    // As in its examples.
    let config = Config::default()
        .queue(QUEUE)
        .batch_size(100)
        .lock_tasks(false);
    let mut backend = PostgresStorage::<Payment>::new(&pool).with_config(config);
    let payments = (0..MESSAGES).map(|_| Payment::new()).collect();
    backend
        .push_bulk(payments)
        .await
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let progress = Arc::new(Progress::default());
    let (handled, mut count) = watch::channel(0);
    let context = Context {
        pool: pool.clone(),
        progress: Arc::clone(&progress),
        handled,
    };
    let worker = WorkerBuilder::new(format!("bench-{}", uuid::Uuid::now_v7()))
        .backend(backend)
        .data(context)
        .concurrency(CONCURRENCY as usize)
        .parallelize(tokio::spawn)
        .build(apply);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut running = tokio::spawn(worker.run_until(async move {
        let _ = stopped.await;
        Ok::<(), WorkerError>(())
    }));
    let all = tokio::time::timeout(
        Duration::from_mins(2),
        count.wait_for(|handled| *handled >= MESSAGES),
    );
    all.await??;
    // Its last completions can wait for its next heartbeat, so the end of the last handler counts.
    progress.end();
    let _ = stop.send(());
    // It ends with the error that it was told to end.
    let ended = tokio::time::timeout(Duration::from_secs(1), &mut running).await;
    if ended.is_err() {
        running.abort();
    }
    progress.rate()
}
