//! async-nats as it comes.

use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use futures_util::StreamExt as _;
use idem_nats::DurableConsumer;
use idem_nats::async_nats::jetstream::context::ContextBuilder;
use idem_nats::async_nats::jetstream::{Context, consumer};
use idem_nats::async_nats::{HeaderMap, connect};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::brokers::work::{BATCH, IN_FLIGHT, KIND, MESSAGES, SOURCE, payload, publish_bare, rate};

/// A connection with JetStream.
#[derive(Clone)]
pub(super) struct Bare(Context);

impl Bare {
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let client = connect(url).await?;
        // Each call publishes all of its messages before it asks for the first ack.
        let context = ContextBuilder::new().max_ack_inflight(2 * BATCH * IN_FLIGHT);
        Ok(Self(context.build(client)))
    }

    pub(super) async fn declare(&self, stream: &str, settings: &DurableConsumer) -> Result<()> {
        self.0.create_stream(settings.stream(stream)).await?;
        Ok(())
    }

    /// A consumer of its own for each slice, which begins with what is there.
    pub(super) async fn durable(
        &self,
        stream: &str,
        durable: &str,
        settings: &DurableConsumer,
    ) -> Result<consumer::PullConsumer> {
        let stream = self.0.get_stream(stream).await?;
        Ok(stream.create_consumer(settings.consumer(durable)).await?)
    }

    pub(super) async fn purge(&self, stream: &str) -> Result<()> {
        self.0.get_stream(stream).await?.purge().await?;
        Ok(())
    }

    /// Several times at once: publishes a batch, then waits for its acks.
    pub(super) async fn publish(&self, subject: &str) -> Result<f64> {
        publish_bare(|call| publish(self.0.clone(), subject.into(), call)).await
    }
}

async fn publish(context: Context, subject: String, call: usize) -> Result<()> {
    let payload = payload();
    let mut acks = Vec::with_capacity(BATCH);
    for place in 0..BATCH {
        let headers = headers(&subject, call * BATCH + place);
        let sent = context.publish_with_headers(subject.clone(), headers, payload.clone().into());
        acks.push(sent.await?);
    }
    for ack in acks {
        ensure!(!ack.await?.duplicate, "the stream had it already");
    }
    Ok(())
}

/// As large as those of ours, under the same names.
fn headers(subject: &str, number: usize) -> HeaderMap {
    let id = Uuid::now_v7().to_string();
    let key = format!("key-{number}");
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("Nats-Msg-Id", &*id),
        ("ce-specversion", "1.0"),
        ("ce-id", &*id),
        ("ce-source", SOURCE),
        ("ce-type", KIND),
        ("ce-time", "2026-11-30T12:00:00.123456Z"),
        ("ce-topic", subject),
        ("ce-partitionkey", &*key),
        ("content-type", "application/json"),
    ] {
        headers.insert(name, value);
    }
    headers
}

/// Takes all that waits, and acknowledges each in a task of its own by a double ack.
pub(super) async fn consume(consumer: consumer::PullConsumer, prefetch: usize) -> Result<f64> {
    let start = Instant::now();
    let mut messages = consumer
        .stream()
        .max_messages_per_batch(prefetch)
        .messages()
        .await?;
    let mut acks = JoinSet::new();
    for _ in 0..MESSAGES {
        let message = messages.next().await.context("no more messages")??;
        acks.spawn(async move { message.double_ack().await });
        while let Some(acked) = acks.try_join_next() {
            acked?.map_err(|error| anyhow!(error))?;
        }
    }
    while let Some(acked) = acks.join_next().await {
        acked?.map_err(|error| anyhow!(error))?;
    }
    Ok(rate(start))
}
