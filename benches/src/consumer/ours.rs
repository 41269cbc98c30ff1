//! By hand, by our handler called directly, and by our consumer.

use std::sync::Arc;

use anyhow::Result;
use idem_runtime::{Consumer, Inbox, Outbox, Source, idempotent, outbox};
use sqlx::{PgConnection, PgPool, Postgres};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::backlog::{MESSAGES, Progress, Queue, Waiting, messages};
use super::source::{Counted, KIND, Local};
use crate::arm::{self, Payment, Posted, Receipt};
use crate::postgres;
use crate::postgres::statements::EFFECT;

/// How many messages are handled at once.
pub(super) const CONCURRENCY: u32 = 8;

#[idempotent(key = "payment.id", handler = Apply)]
#[outbox]
async fn consumed(
    tx: &mut PgConnection,
    outbox: &mut Outbox<Posted>,
    payment: &Payment,
) -> Result<Receipt, sqlx::Error> {
    sqlx::query(EFFECT)
        .bind(payment.amount)
        .bind(payment.account)
        .execute(&mut *tx)
        .await?;
    outbox.emit(&Posted::from(payment));
    Ok(Receipt::from(payment))
}

/// Tasks that take the next message each, handle it, and count it.
async fn by_tasks<F>(
    pool: &PgPool,
    handle: impl Fn(PgPool, Payment) -> F + Copy + Send + 'static,
) -> Result<f64>
where
    F: Future<Output = Result<()>> + Send,
{
    let (queue, progress) = (
        Arc::new(Queue::filled(MESSAGES)?),
        Arc::new(Progress::of(MESSAGES)),
    );
    progress.begin();
    let mut tasks = JoinSet::new();
    for _ in 0..CONCURRENCY {
        let (pool, queue, progress) = (pool.clone(), Arc::clone(&queue), Arc::clone(&progress));
        tasks.spawn(async move {
            while let Some(waiting) = queue.take() {
                handle(pool.clone(), serde_json::from_slice(&waiting.body)?).await?;
                progress.done();
            }
            anyhow::Ok(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    progress.rate()
}

pub(super) async fn by_hand(pool: PgPool) -> Result<f64> {
    by_tasks(&pool, |pool, payment| async move {
        postgres::by_hand(&pool, payment).await
    })
    .await
}

pub(super) async fn by_handler(pool: PgPool) -> Result<f64> {
    by_tasks(&pool, |pool, payment| async move {
        arm::executed(&consumed(&pool, &payment).await?)
    })
    .await
}

pub(super) async fn from_memory(pool: PgPool) -> Result<f64> {
    consume(&pool, Local::new(Queue::filled(MESSAGES)?)).await
}

/// From our own queue.
pub(super) async fn from_inbox(pool: PgPool, inbox: Inbox<Postgres>) -> Result<f64> {
    fill(&pool, &messages(MESSAGES)?).await?;
    consume(&pool, inbox).await
}

/// The name of the inbox.
pub(super) const INBOX: &str = "bench";

async fn fill(pool: &PgPool, messages: &[Waiting]) -> Result<()> {
    let of = |field: fn(&Waiting) -> &str| messages.iter().map(field).collect::<Vec<_>>();
    let bodies: Vec<_> = messages.iter().map(|waiting| &*waiting.body).collect();
    let sql = "INSERT INTO idem_inbox \
          (origin, name, lane, due_at, source, id, topic, key, type, payload, content_type, headers, created_at) \
        SELECT 'inbox', $1, substring(sha256(convert_to(message.key, 'UTF8')) FROM 1 FOR 16), now(), '/', message.id, 'payments', \
          message.key, $2, message.body, 'application/json', '{}', now() \
        FROM unnest($3::text[], $4::text[], $5::bytea[]) WITH ORDINALITY AS message (id, key, body, place) ORDER BY place";
    sqlx::query(sql)
        .bind(INBOX)
        .bind(KIND)
        .bind(of(|waiting| &waiting.id))
        .bind(of(|waiting| &waiting.key))
        .bind(bodies)
        .execute(pool)
        .await?;
    Ok(())
}

async fn consume(pool: &PgPool, source: impl Source) -> Result<f64> {
    let progress = Arc::new(Progress::of(MESSAGES));
    let source = Counted {
        source,
        progress: Arc::clone(&progress),
    };
    let shutdown = CancellationToken::new();
    let consumer = Consumer::new("bench", source)
        .on_type::<Apply>(KIND)
        .concurrency(CONCURRENCY as usize);
    let running = tokio::spawn(consumer.run(pool, shutdown.clone().cancelled_owned()));
    progress.all_done().await?;
    shutdown.cancel();
    running.await??;
    progress.rate()
}
