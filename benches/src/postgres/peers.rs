//! The work done by job queues and by an outbox crate. They are built on sqlx 0.8, and each has a
//! database of its own on the same server.
//!
//! | peer | what it guarantees | what it does not |
//! |---|---|---|
//! | underway 0.2 | an enqueued task's effect commits with its completion | the same message enqueued twice runs twice; no result for a duplicate; no event |
//! | sqlxmq 0.6 | the same, by `complete_with_transaction` | the ID is unique only while its job waits: delivered after that, it runs again; no result; no event |
//! | outbox-postgres 0.3 | the event commits with the effect | no dedup of what is consumed |

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use outbox_core::prelude::{NoIdempotency, OutboxConfig, OutboxService};
use outbox_postgres::PostgresWriter;
use sqlx08::migrate::Migrator;
use sqlx08::{PgConnection, PgPool, Postgres, Transaction};
use sqlxmq::{CurrentJob, JobBuilder, JobRunnerOptions};
use tokio::sync::mpsc;
use underway::task::{Error as TaskError, Result as TaskResult};
use underway::{Queue, Task, Worker};

use crate::arm::{Arm, Payment, Posted, name};

/// Makes the peers' tables in three empty databases.
pub(super) async fn set_up([underway, sqlxmq, outbox]: [&str; 3]) -> Result<()> {
    for url in [underway, sqlxmq, outbox] {
        let pool = connect(url, 1).await?;
        sqlx08::raw_sql(super::statements::ACCOUNTS)
            .execute(&pool)
            .await?;
    }
    underway::run_migrations(&connect(underway, 1).await?).await?;
    let shipped = [
        (sqlxmq, env!("SQLXMQ_MIGRATIONS")),
        (outbox, env!("OUTBOX_POSTGRES_MIGRATIONS")),
    ];
    for (url, migrations) in shipped {
        Migrator::new(Path::new(migrations))
            .await?
            .run(&connect(url, 1).await?)
            .await
            .with_context(|| format!("the migrations in {migrations}"))?;
    }
    Ok(())
}

/// The arms on these databases.
pub(super) async fn arms([underway, sqlxmq, outbox]: [&str; 3]) -> Result<Vec<Arm>> {
    let mut arms = self::underway(underway).await?;
    arms.extend(self::sqlxmq(sqlxmq).await?);
    arms.push(self::outbox(outbox).await?);
    Ok(arms)
}

async fn connect(url: &str, connections: u32) -> Result<PgPool> {
    let pool = sqlx08::postgres::PgPoolOptions::new()
        .min_connections(connections)
        .max_connections(connections)
        .test_before_acquire(false)
        .connect(url)
        .await?;
    Ok(pool)
}

async fn effect(tx: &mut PgConnection, payment: &Payment) -> sqlx08::Result<()> {
    sqlx08::query("UPDATE accounts SET balance = balance + $1 WHERE id = $2")
        .bind(payment.amount)
        .bind(payment.account)
        .execute(tx)
        .await
        .map(drop)
}

struct Apply;

impl Task for Apply {
    type Input = Payment;
    type Output = ();

    async fn execute(&self, mut tx: Transaction<'_, Postgres>, input: Payment) -> TaskResult<()> {
        effect(&mut tx, &input)
            .await
            .map_err(|error| TaskError::Retryable(error.to_string()))?;
        tx.commit()
            .await
            .map_err(|error| TaskError::Retryable(error.to_string()))
    }
}

async fn underway(url: &str) -> Result<Vec<Arm>> {
    // One for the task, one for its heartbeat.
    let pool = connect(url, 2).await?;
    let queue = Queue::<Apply>::builder()
        .name("payments")
        .pool(pool.clone())
        .build()
        .await?;
    let queue = Arc::new(queue);
    let worker = Worker::new(Arc::clone(&queue), Apply);

    let enqueue = move |payment: Payment| {
        let (pool, queue) = (pool.clone(), Arc::clone(&queue));
        async move {
            queue.enqueue(&pool, &Apply, &payment).await?;
            Ok(())
        }
    };
    let process = move |_: Payment| {
        let worker = worker.clone();
        async move {
            let done = worker.process_next_task().await?;
            ensure!(done.is_some(), "underway found no task");
            Ok(())
        }
    };
    let both = {
        let (enqueue, process) = (enqueue.clone(), process.clone());
        move |payment: Payment| {
            let (enqueued, processed) = (enqueue(payment.clone()), process(payment));
            async move {
                enqueued.await?;
                processed.await
            }
        }
    };
    Ok(vec![
        Arm::new(name::UNDERWAY, both),
        Arm::new(name::UNDERWAY_PROCESS, process).after(enqueue),
    ])
}

async fn sqlxmq(url: &str) -> Result<Vec<Arm>> {
    let pool = connect(url, 1).await?;
    let (done, completions) = mpsc::unbounded_channel();
    let runner = JobRunnerOptions::new(&pool, move |job| {
        let done = done.clone();
        tokio::spawn(async move { done.send(complete(job).await) });
    });
    // `test_one` is the runner's own poll and dispatch, once: without its wait for a notification,
    // so in its favour.
    let runner = Arc::new(runner);
    let completions = Arc::new(tokio::sync::Mutex::new(completions));

    let enqueue = move |payment: Payment| {
        let pool = pool.clone();
        async move {
            JobBuilder::new_with_id(payment.id, "payment")
                .set_channel_name("payments")
                .set_json(&payment)?
                .spawn(&pool)
                .await?;
            Ok(())
        }
    };
    let process = move |_: Payment| {
        let (runner, completions) = (Arc::clone(&runner), Arc::clone(&completions));
        async move {
            runner.test_one().await?;
            let completion = completions.lock().await.recv().await;
            completion.context("sqlxmq's job was dropped")?
        }
    };
    let both = {
        let (enqueue, process) = (enqueue.clone(), process.clone());
        move |payment: Payment| {
            let (enqueued, processed) = (enqueue(payment.clone()), process(payment));
            async move {
                enqueued.await?;
                processed.await
            }
        }
    };
    Ok(vec![
        Arm::new(name::SQLXMQ, both),
        Arm::new(name::SQLXMQ_PROCESS, process).after(enqueue),
    ])
}

async fn complete(mut job: CurrentJob) -> Result<()> {
    let payment: Payment = job.json()?.context("sqlxmq's job has no payload")?;
    let mut tx = job.pool().begin().await?;
    effect(&mut tx, &payment).await?;
    job.complete_with_transaction(tx).await?;
    Ok(())
}

async fn outbox(url: &str) -> Result<Arm> {
    let pool = connect(url, 1).await?;
    let service = Arc::new(OutboxService::<PostgresWriter, NoIdempotency, Posted>::new(
        Arc::new(PostgresWriter),
        Arc::new(OutboxConfig::default()),
    ));
    Ok(Arm::new(name::OUTBOX_POSTGRES, move |payment| {
        let (pool, service) = (pool.clone(), Arc::clone(&service));
        async move {
            let mut tx = pool.begin().await?;
            effect(&mut tx, &payment).await?;
            service
                .add_event("ledger.posted", Posted::from(&payment), None, &mut *tx)
                .await?;
            tx.commit().await?;
            Ok(())
        }
    }))
}
