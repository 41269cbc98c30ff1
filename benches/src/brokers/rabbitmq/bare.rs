//! lapin as it comes.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use futures_util::StreamExt as _;
use idem_rabbitmq::lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions, QueuePurgeOptions,
};
use idem_rabbitmq::lapin::types::{AMQPValue, FieldTable, ShortString};
use idem_rabbitmq::lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::brokers::work::{BATCH, KIND, MESSAGES, SOURCE, payload, publish_bare, rate};

/// A channel in confirm mode.
#[derive(Clone)]
pub(super) struct Bare {
    channel: Channel,
    // Closed when the last clone is dropped.
    _connection: Arc<Connection>,
}

impl Bare {
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        Ok(Self {
            channel,
            _connection: Arc::new(connection),
        })
    }

    pub(super) async fn declare(&self, queue: &str, arguments: FieldTable) -> Result<()> {
        let options = QueueDeclareOptions::durable();
        let queue = queue.into();
        self.channel
            .queue_declare(queue, options, arguments)
            .await?;
        Ok(())
    }

    pub(super) async fn purge(&self, queue: &str) -> Result<()> {
        let options = QueuePurgeOptions::default();
        self.channel.queue_purge(queue.into(), options).await?;
        Ok(())
    }

    /// Several times at once: publishes a batch, then waits for its confirms.
    pub(super) async fn publish(&self, queue: &str) -> Result<f64> {
        publish_bare(|call| publish(self.channel.clone(), queue.into(), call)).await
    }
}

async fn publish(channel: Channel, queue: ShortString, call: usize) -> Result<()> {
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let payload = payload();
    let mut confirms = Vec::with_capacity(BATCH);
    for place in 0..BATCH {
        let sent = channel.basic_publish(
            ShortString::default(),
            queue.clone(),
            options,
            &payload,
            properties(queue.as_str(), call * BATCH + place),
        );
        confirms.push(sent.await?);
    }
    for confirm in confirms {
        let confirmed = confirm.await?;
        ensure!(
            confirmed == Confirmation::Ack(None),
            "not confirmed: {confirmed:?}"
        );
    }
    Ok(())
}

/// As large as those of ours, under the same names.
fn properties(queue: &str, number: usize) -> BasicProperties {
    let id = Uuid::now_v7().to_string();
    let key = format!("key-{number}");
    let mut headers = FieldTable::default();
    for (name, value) in [
        ("cloudEvents:specversion", "1.0"),
        ("cloudEvents:id", &*id),
        ("cloudEvents:source", SOURCE),
        ("cloudEvents:type", KIND),
        ("cloudEvents:time", "2026-11-30T12:00:00.123456Z"),
        ("cloudEvents:topic", queue),
        ("cloudEvents:partitionkey", &*key),
    ] {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    BasicProperties::default()
        .with_headers(headers)
        .with_content_type("application/json".into())
        .with_message_id(id.as_str().into())
        .with_delivery_mode(2)
        .with_timestamp(1_796_040_000)
        .with_type(KIND.into())
}

/// How acks are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Acks {
    /// The next delivery is taken when the ack of the last one is written.
    OneByOne,
    /// Each in a task of its own.
    InTasks,
}

/// Takes all that waits, and acknowledges each.
///
/// The connection stays until `settled` says that nothing is left.
pub(super) async fn consume(
    url: &str,
    queue: &str,
    prefetch: u16,
    how: Acks,
    settled: impl Future<Output = Result<()>>,
) -> Result<f64> {
    let start = Instant::now();
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel
        .basic_qos(prefetch, BasicQosOptions::default())
        .await?;
    let deliveries = channel.basic_consume(
        queue.into(),
        ShortString::default(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let mut deliveries = deliveries.await?;
    let mut acks = JoinSet::new();
    for _ in 0..MESSAGES {
        let delivery = deliveries.next().await.context("no more deliveries")??;
        let ack = async move { delivery.acker.ack(BasicAckOptions::default()).await };
        if how == Acks::OneByOne {
            ack.await?;
            continue;
        }
        acks.spawn(ack);
        while let Some(acked) = acks.try_join_next() {
            acked??;
        }
    }
    while let Some(acked) = acks.join_next().await {
        acked??;
    }
    // The channel answers to it after it has taken the acks.
    channel
        .basic_qos(prefetch, BasicQosOptions::default())
        .await?;
    let rate = rate(start);
    settled.await?;
    connection.close(200, "done".into()).await?;
    Ok(rate)
}
