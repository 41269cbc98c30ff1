//! A connection that delivers.

use std::sync::Arc;

use lapin::message::Delivery;
use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, Consumer};

use super::delivery::RabbitMqDelivery;
use super::queue::QuorumQueue;
use super::settlements::Settlements;
use crate::connector::{Connector, answered, close};
use crate::envelope::incoming;

/// A connection with one channel and one consumer on it.
pub(super) struct Link {
    pub(super) consumer: Consumer,
    settlements: Arc<Settlements>,
    channel: Channel,
    /// Whether the queue counts deliveries.
    counts: bool,
    // Closed when it is dropped: RabbitMQ then delivers again what was not settled.
    connection: Connection,
}

impl Link {
    pub(super) async fn new(
        connector: &Connector,
        queue: &ShortString,
        prefetch: u16,
        declare: Option<&QuorumQueue>,
    ) -> lapin::Result<Self> {
        let consuming = async |connection: &Connection| {
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
            let consumer = channel.basic_consume(
                queue.clone(),
                ShortString::default(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            );
            let consumer = consumer.await?;
            Ok((channel, consumer))
        };
        let (connection, (channel, consumer)) = connector.begin(consuming).await?;
        Ok(Self {
            consumer,
            settlements: Arc::new(Settlements::new(channel.clone(), prefetch)),
            channel,
            counts: declare.is_some(),
            connection,
        })
    }

    /// Lets RabbitMQ deliver nothing more. If that fails, the connection must go, which does the
    /// same.
    pub(super) async fn cancel(&self) -> lapin::Result<()> {
        let options = BasicCancelOptions::default();
        let cancelled = self.channel.basic_cancel(self.consumer.tag(), options);
        answered(cancelled).await
    }

    pub(super) async fn close(&self) {
        close(&self.connection).await;
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
