//! A connection that delivers.

use std::sync::Arc;

use lapin::message::Delivery;
use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, Consumer};
use tokio::sync::watch;

use super::delivery::RabbitMqDelivery;
use super::queue::QuorumQueue;
use super::settlements::Settlements;
use crate::connector::Connector;
use crate::envelope::incoming;

/// A connection with one channel and one consumer on it.
pub(super) struct Link {
    pub(super) consumer: Consumer,
    settlements: Arc<Settlements>,
    channel: Channel,
    /// Whether the queue counts deliveries.
    counts: bool,
    // Closed when it and all its deliveries are dropped, which have its channel: RabbitMQ then
    // delivers again what was not settled.
    _connection: Connection,
}

impl Link {
    pub(super) async fn new(
        connector: &Connector,
        queue: &ShortString,
        prefetch: u16,
        declare: Option<&QuorumQueue>,
        stopped: watch::Receiver<bool>,
    ) -> lapin::Result<Self> {
        let connection = connector.connect().await?;
        let channel = connection.create_channel().await?;
        let options = BasicQosOptions::default();
        channel.basic_qos(prefetch, options).await?;
        if let Some(declare) = declare {
            let options = QueueDeclareOptions {
                durable: true,
                ..QueueDeclareOptions::default()
            };
            let arguments = declare.arguments();
            channel
                .queue_declare(queue.clone(), options, arguments)
                .await?;
        }
        let consumer = channel
            .basic_consume(
                queue.clone(),
                ShortString::default(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await?;
        Ok(Self {
            consumer,
            settlements: Arc::new(Settlements::new(channel.clone(), prefetch, stopped)),
            channel,
            counts: declare.is_some(),
            _connection: connection,
        })
    }

    /// Lets RabbitMQ deliver nothing more. If that fails, the connection is gone, which does the same.
    pub(super) async fn cancel(&self) {
        let options = BasicCancelOptions::default();
        let cancelled = self
            .channel
            .basic_cancel(self.consumer.tag(), options)
            .await;
        if let Err(error) = cancelled {
            tracing::debug!(%error, "the connection to RabbitMQ ended before its consumer did");
        }
    }

    /// `None` for one whose channel is gone already: it comes again.
    pub(super) fn delivery(
        &self,
        mut delivery: Delivery,
        queue: &ShortString,
    ) -> Option<RabbitMqDelivery> {
        if !delivery.acker.usable() {
            return None;
        }
        let incoming = incoming(&mut delivery, queue.as_str(), self.counts);
        let settlements = Arc::clone(&self.settlements);
        Some(RabbitMqDelivery::new(incoming, delivery.acker, settlements))
    }
}
