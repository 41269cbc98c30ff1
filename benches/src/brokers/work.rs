//! What is published, and how a relay hands it over.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use idem_runtime::{Arrival, Delivery, EventId, Message, PublishBatch, Publisher, Source};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Messages in one call of a publisher, as a relay makes it.
pub(super) const BATCH: usize = 1_000;

/// Calls at once: a relay has 10,000 events in hand.
pub(super) const IN_FLIGHT: usize = 10;

/// Calls in a slice.
pub(super) const CALLS: usize = 30;

pub(super) const MESSAGES: usize = BATCH * CALLS;

/// What each message holds.
pub(super) fn payload() -> Vec<u8> {
    format!("\"{}\"", "x".repeat(98)).into_bytes()
}

pub(super) const KIND: &str = "Bench";

pub(super) const SOURCE: &str = "/bench";

/// The messages of one call, so many of each key after one another.
fn batch(topic: &str, call: usize, of_a_key: usize) -> Vec<Message> {
    let message = |place: usize| {
        let id = EventId::new(Uuid::now_v7());
        let mut message = Message::new(id, topic, KIND, payload());
        message.source = SOURCE.into();
        message.key = Some(format!("key-{}", (call * BATCH + place) / of_a_key));
        message
    };
    (0..BATCH).map(message).collect()
}

/// Publishes by several calls at once, and counts from the first call to the last verdict.
pub(super) async fn publish<P: Publisher>(
    publisher: Arc<P>,
    topic: &str,
    of_a_key: usize,
) -> Result<f64> {
    let mut batches: Vec<_> = (0..CALLS)
        .map(|call| batch(topic, call, of_a_key))
        .collect();
    let start = Instant::now();
    let mut calls = JoinSet::new();
    while let Some(messages) = batches.pop() {
        if calls.len() >= IN_FLIGHT {
            finished(calls.join_next().await)?;
        }
        let (batch, mut verdicts) = PublishBatch::new(messages);
        let publisher = Arc::clone(&publisher);
        calls.spawn(async move {
            publisher.publish(batch).await;
            let mut confirmed = 0;
            while let Some((_, verdict)) = verdicts.next().await {
                verdict.map_err(|error| anyhow::anyhow!("{}", error.reason()))?;
                confirmed += 1;
            }
            ensure!(confirmed == BATCH, "{confirmed} of {BATCH} were confirmed");
            Ok(())
        });
    }
    while let Some(call) = calls.join_next().await {
        finished(Some(call))?;
    }
    Ok(rate(start))
}

/// The same for a bare client: `call` publishes a batch and waits for its confirms.
pub(super) async fn publish_bare<F>(call: impl Fn(usize) -> F) -> Result<f64>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let start = Instant::now();
    let mut calls = JoinSet::new();
    for number in 0..CALLS {
        if calls.len() >= IN_FLIGHT {
            finished(calls.join_next().await)?;
        }
        calls.spawn(call(number));
    }
    while let Some(call) = calls.join_next().await {
        finished(Some(call))?;
    }
    Ok(rate(start))
}

/// Takes all that waits, and acknowledges each in a task of its own, as a consumer does.
///
/// The source stays until `settled` says that nothing is left.
pub(super) async fn consume<S: Source>(
    source: S,
    settled: impl Future<Output = Result<()>>,
) -> Result<f64> {
    let start = Instant::now();
    let mut acks = JoinSet::new();
    for _ in 0..MESSAGES {
        let Some(Ok(Arrival::Delivery(delivery))) = source.receive().await else {
            anyhow::bail!("the source delivers no more");
        };
        ensure!(
            delivery.incoming().kind == KIND,
            "a message of another type"
        );
        acks.spawn(delivery.ack());
        while let Some(acked) = acks.try_join_next() {
            acked??;
        }
    }
    while let Some(acked) = acks.join_next().await {
        acked??;
    }
    let rate = rate(start);
    settled.await?;
    source.stop();
    ensure!(source.receive().await.is_none(), "there was more");
    Ok(rate)
}

pub(super) fn rate(start: Instant) -> f64 {
    MESSAGES as f64 / start.elapsed().as_secs_f64()
}

fn finished(call: Option<Result<Result<()>, tokio::task::JoinError>>) -> Result<()> {
    call.map_or(Ok(()), |call| call?)
}
