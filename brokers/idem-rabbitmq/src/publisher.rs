//! Events to RabbitMQ.

mod session;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use idem_runtime::{Message, PublishBatch, PublishError, Publisher, in_order};
use lapin::types::ShortString;
use tokio::time::timeout;

use self::session::Sessions;
use crate::connector::Connector;
use crate::envelope::properties;
use crate::error::{RabbitMqError, is_refusal, reason};

/// Sends each event to an exchange, with its topic as the routing key, as CloudEvents 1.0 in binary
/// mode.
///
/// ```
/// use idem_rabbitmq::{RabbitMqError, RabbitMqPublisher};
///
/// # fn main() -> Result<(), RabbitMqError> {
/// let publisher = RabbitMqPublisher::new("amqp://guest:guest@127.0.0.1:5672")?.exchange("events")?;
/// # Ok(())
/// # }
/// ```
///
/// Declare the exchange and the queues before: a publisher that made them would hide a spelling
/// mistake. Without [`exchange`](Self::exchange) it is the default one, which takes an event to the
/// queue that is called as its topic.
///
/// # What confirmed means
///
/// RabbitMQ has answered by `basic.ack` on a channel in confirm mode, after each queue that the
/// event was routed to has it: a quorum queue on the disks of a majority, a durable classic queue on
/// its own disk. Events are persistent and `mandatory`.
///
/// | what happens | verdict |
/// |---|---|
/// | `basic.ack` | confirmed |
/// | `basic.return`: no queue is bound for this topic | retryable: it is the topic's own fault, and others go on |
/// | `basic.nack`: a queue is full and rejects, or failed | retryable |
/// | a connection that is lost or can't be made; the exchange does not exist; no access | unavailable: the relay pauses, and nobody's attempt is counted |
/// | no answer within the [timeout](Self::timeout) | retryable if other events were confirmed meanwhile, else unavailable: a broker short of memory or disk blocks its publishers |
/// | larger than `max_message_size`, or headers of more than a frame | a dead letter at once |
///
/// An event whose connection was lost may have arrived. It is published again under the same ID.
///
/// # Order and concurrency
///
/// All on one channel, whatever the number of clones. Of one ordering key an event is sent when the
/// one before it was confirmed, so that none overtakes one that was refused; different keys and
/// events without one go side by side, up to [`concurrency`](Self::concurrency).
#[derive(Clone)]
pub struct RabbitMqPublisher {
    sessions: Arc<Sessions>,
    exchange: ShortString,
    timeout: Duration,
    concurrency: usize,
    /// How many events were confirmed.
    confirmed: Arc<AtomicU64>,
}

impl RabbitMqPublisher {
    /// To the broker at this URL; see [`Connector::url`].
    ///
    /// # Errors
    /// [`RabbitMqError::Url`].
    pub fn new(url: &str) -> Result<Self, RabbitMqError> {
        Ok(Self::with(Connector::url(url)?))
    }

    /// By your own client: TLS, other ways to authenticate.
    #[must_use]
    pub fn with(connector: Connector) -> Self {
        Self {
            sessions: Arc::new(Sessions::new(connector)),
            exchange: ShortString::default(),
            timeout: Duration::from_secs(10),
            concurrency: 256,
            confirmed: Arc::default(),
        }
    }

    /// To this exchange; the default exchange unless said otherwise.
    ///
    /// # Errors
    /// [`RabbitMqError::Name`].
    pub fn exchange(mut self, name: &str) -> Result<Self, RabbitMqError> {
        self.exchange = ShortString::try_new(name).map_err(|_| RabbitMqError::Name)?;
        Ok(self)
    }

    /// How long RabbitMQ may take to confirm an event; 10 s unless said otherwise.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many events of one batch are on their way at once; 256 unless said otherwise.
    #[must_use]
    pub fn concurrency(mut self, events: usize) -> Self {
        self.concurrency = events.max(1);
        self
    }

    async fn send(&self, message: &Message) -> Result<(), PublishError> {
        let routing_key = ShortString::try_new(message.topic.clone()).map_err(|_| {
            PublishError::permanent(
                "its topic is longer than the 255 bytes that a routing key may have",
            )
        })?;
        let session = self.sessions.current().await.map_err(|error| {
            PublishError::unavailable(format!("RabbitMQ can't be reached: {}", reason(&error)))
        })?;
        let properties = properties(message, session.longest_headers())?;
        let before = self.confirmed.load(Ordering::Relaxed);
        let confirmed = timeout(
            self.timeout,
            session.publish(&self.exchange, routing_key, &message.payload, properties),
        );
        match confirmed.await {
            Ok(Ok(Ok(()))) => {
                self.confirmed.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Ok(Ok(Err(refusal))) => Err(PublishError::retryable(refusal)),
            Ok(Err(error)) => {
                self.sessions.discard(&session).await;
                Err(self.failed(message, &error))
            }
            Err(_) => {
                let limit = self.timeout;
                let reason = format!("RabbitMQ has not confirmed it within {limit:?}");
                if self.confirmed.load(Ordering::Relaxed) > before {
                    return Err(PublishError::retryable(reason));
                }
                self.sessions.discard(&session).await;
                Err(PublishError::unavailable(format!(
                    "{reason}, nor any other: it may be short of memory or disk"
                )))
            }
        }
    }

    /// The channel is gone, and all that was on its way has the same error.
    fn failed(&self, message: &Message, error: &lapin::Error) -> PublishError {
        let reason = reason(error);
        if is_refusal(error) && reason.contains(&format!("message size {} ", message.payload.len()))
        {
            return PublishError::permanent(format!(
                "it is larger than RabbitMQ takes (`max_message_size`): {} bytes",
                message.payload.len()
            ));
        }
        PublishError::unavailable(format!(
            "publishing to the exchange `{}` failed: {reason}",
            self.exchange
        ))
    }
}

impl Publisher for RabbitMqPublisher {
    async fn publish(&self, batch: PublishBatch) {
        in_order(batch, self.concurrency, |message| async move {
            self.send(&message).await
        })
        .await;
    }
}

impl fmt::Debug for RabbitMqPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMqPublisher")
            .field("exchange", &self.exchange.as_str())
            .field("timeout", &self.timeout)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}
