//! A connection that delivers.

use std::sync::Arc;

use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Connection, Consumer};
use tokio::sync::watch;

use super::delivery::RabbitMqDelivery;
use super::queue::QuorumQueue;
use super::settlements::{Open, Settlements};
use crate::connector::Connector;
use crate::envelope::incoming;

/// A connection with one channel and one consumer on it. It is closed when this and all its
/// deliveries are dropped: RabbitMQ then delivers again what was not settled.
pub(super) struct Link {
    pub(super) consumer: Consumer,
    settlements: Arc<Settlements>,
    /// Whether the queue counts deliveries.
    counts: bool,
}

impl Link {
    pub(super) async fn new(
        connector: &Connector,
        queue: &ShortString,
        prefetch: u16,
        declare: Option<&QuorumQueue>,
        stopped: watch::Receiver<bool>,
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
        let open = Open {
            connection,
            consumer: consumer.clone(),
        };
        Ok(Self {
            consumer,
            settlements: Arc::new(Settlements::new(channel, prefetch, open, stopped)),
            counts: declare.is_some(),
        })
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
