//! A queue as the source declares it.

use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::error::RabbitMqError;

/// A quorum queue: replicated, durable, and one that counts deliveries. What RabbitMQ advises for
/// messages that must not be lost.
#[derive(Clone, Debug, PartialEq)]
pub struct QuorumQueue {
    delivery_limit: u32,
    dead_letter_exchange: Option<ShortString>,
    single_active_consumer: bool,
}

impl QuorumQueue {
    /// With this `x-delivery-limit`: a message that was handed out once more than that often without
    /// an ack is dropped, or dead-lettered by the broker. RabbitMQ 4 has a limit of 20 where none is
    /// set, so one is always set here.
    ///
    /// Deliveries are not attempts: the consumer counts attempts itself, and keeps a message in hand
    /// between them, but each lost connection, and each shutdown with the message in hand, is a
    /// delivery. So give it a multiple of the consumer's attempts. The consumer makes its own dead
    /// letter before the broker would drop the message.
    #[must_use]
    pub const fn new(delivery_limit: u32) -> Self {
        Self {
            delivery_limit,
            dead_letter_exchange: None,
            single_active_consumer: false,
        }
    }

    /// Where RabbitMQ puts what it gives up, and what the consumer rejects because its database can't
    /// keep it. Without it both are gone.
    ///
    /// # Errors
    /// [`RabbitMqError::Name`].
    pub fn dead_letter_exchange(mut self, exchange: &str) -> Result<Self, RabbitMqError> {
        let exchange = ShortString::try_new(exchange).map_err(|_| RabbitMqError::Name)?;
        self.dead_letter_exchange = Some(exchange);
        Ok(self)
    }

    /// Delivers to one consumer at a time, the others stand by: then messages of one ordering key are
    /// in order over all instances, too.
    #[must_use]
    pub const fn single_active_consumer(mut self) -> Self {
        self.single_active_consumer = true;
        self
    }

    /// How often a message is handed out.
    pub(super) const fn deliveries(&self) -> u32 {
        self.delivery_limit.saturating_add(1)
    }

    /// The arguments, to declare the same queue elsewhere.
    #[must_use]
    pub fn arguments(&self) -> FieldTable {
        let mut arguments = FieldTable::default();
        let text = |text: &str| AMQPValue::LongString(text.into());
        arguments.insert("x-queue-type".into(), text("quorum"));
        let limit = AMQPValue::LongLongInt(self.delivery_limit.into());
        arguments.insert("x-delivery-limit".into(), limit);
        if let Some(exchange) = &self.dead_letter_exchange {
            arguments.insert("x-dead-letter-exchange".into(), text(exchange.as_str()));
        }
        if self.single_active_consumer {
            let on = AMQPValue::Boolean(true);
            arguments.insert("x-single-active-consumer".into(), on);
        }
        arguments
    }
}
