//! A connection that delivers.

use std::sync::Arc;

use lapin::message::Delivery;
use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, Consumer};
use tokio::sync::Mutex;

use super::delivery::RabbitMqDelivery;
use super::queue::QuorumQueue;
use crate::connector::Connector;
use crate::envelope::incoming;

/// A connection with one channel and one consumer on it.
pub(super) struct Link {
    pub(super) consumer: Consumer,
    settlements: Arc<Settlements>,
    /// Whether the queue counts deliveries.
    counts: bool,
    // Closed when it is dropped: RabbitMQ then delivers again what was not settled.
    _connection: Connection,
}

impl Link {
    pub(super) async fn new(
        connector: &Connector,
        queue: &ShortString,
        prefetch: u16,
        declare: Option<&QuorumQueue>,
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
            settlements: Arc::new(Settlements {
                channel,
                prefetch,
                taken: Mutex::new(0),
                sent: std::sync::atomic::AtomicU64::new(0),
            }),
            counts: declare.is_some(),
            _connection: connection,
        })
    }

    /// Lets RabbitMQ deliver nothing more. If that fails, the connection is gone, which does the same.
    pub(super) async fn cancel(&self) {
        let options = BasicCancelOptions::default();
        let cancelled = self
            .settlements
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

/// Makes sure that settlements have arrived.
pub(super) struct Settlements {
    channel: Channel,
    prefetch: u16,
    /// How many were sent.
    sent: std::sync::atomic::AtomicU64,
    /// How many of them RabbitMQ has taken for sure.
    taken: Mutex<u64>,
}

impl Settlements {
    /// Waits until RabbitMQ has taken a settlement that was just sent.
    ///
    /// AMQP 0.9.1 has no answer to an ack. But a channel does one thing after the other, so the
    /// answer to a question that is asked after the ack says that the ack was taken. The question
    /// that changes nothing is to set the same prefetch again. One is enough for all that were sent
    /// before it.
    pub(super) async fn taken(&self) -> lapin::Result<()> {
        use std::sync::atomic::Ordering;

        let this = self.sent.fetch_add(1, Ordering::SeqCst) + 1;
        let mut taken = self.taken.lock().await;
        if *taken >= this {
            return Ok(());
        }
        let all = self.sent.load(Ordering::SeqCst);
        let options = BasicQosOptions::default();
        self.channel.basic_qos(self.prefetch, options).await?;
        *taken = all;
        Ok(())
    }
}
