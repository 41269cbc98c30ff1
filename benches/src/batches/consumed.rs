//! The same handlers behind a consumer, from a source in memory.

use std::sync::Arc;

use anyhow::Result;
use idem_runtime::{BatchOutbox, Consumer, idempotent, outbox};
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use super::arm::{Arm, CONNECTIONS};
use super::postgres::{Apply, effects};
use crate::arm::{Payment, Posted, Receipt};
use crate::consumer::{Counted, KIND, Local, Progress, Queue};
use crate::postgres::connect_many;

/// How many messages are in memory before a slice begins.
const MESSAGES: u64 = 40_000;

/// What the consumer may hold: enough for a batch at each place, and as much again.
const IN_HAND: usize = 2_000;

#[idempotent(
    key = "payment.id",
    batch = "payment in payments",
    handler = ApplyAll
)]
#[outbox]
async fn consumed_all(
    tx: &mut PgConnection,
    outbox: &mut BatchOutbox<Posted>,
    payments: &[&Payment],
) -> Result<Vec<Receipt>, sqlx::Error> {
    effects(tx, payments).await?;
    for (place, payment) in payments.iter().enumerate() {
        outbox.of(place).emit(&Posted::from(*payment));
    }
    let receipts = payments.iter().map(|payment| Receipt::from(*payment));
    Ok(receipts.collect())
}

pub(super) async fn arms(url: &str) -> Result<[Arm; 2]> {
    // Two connections are the consumer's own.
    let (all, each) = (
        connect_many(url, CONNECTIONS + 2).await?,
        connect_many(url, CONNECTIONS + 2).await?,
    );
    Ok([
        Arm::consumed("consumer, batch handler of 100", move || {
            let pool = all.clone();
            async move {
                let consumer = |source| Consumer::new("bench", source).on_type::<ApplyAll>(KIND);
                consume(&pool, consumer, 100).await
            }
        }),
        Arm::consumed("consumer, ordinary handler, 32 in a batch", move || {
            let pool = each.clone();
            async move {
                let consumer = |source| Consumer::new("bench", source).on_type::<Apply>(KIND);
                consume(&pool, consumer, 32).await
            }
        }),
    ])
}

type FromMemory = Consumer<Counted<Local>, sqlx::Postgres>;

async fn consume(
    pool: &PgPool,
    consumer: impl FnOnce(Counted<Local>) -> FromMemory,
    batch: usize,
) -> Result<f64> {
    let progress = Arc::new(Progress::of(MESSAGES));
    let source = Counted {
        source: Local::new(Queue::filled(MESSAGES)?),
        progress: Arc::clone(&progress),
    };
    let shutdown = CancellationToken::new();
    let consumer = consumer(source)
        .concurrency(CONNECTIONS as usize)
        .in_hand(IN_HAND, 64 << 20)
        .batch(batch);
    let running = tokio::spawn(consumer.run(pool, shutdown.clone().cancelled_owned()));
    progress.all_done().await?;
    shutdown.cancel();
    running.await??;
    progress.rate()
}
