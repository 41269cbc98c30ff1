//! Messages from a queue of RabbitMQ.

mod delivery;
mod link;
mod queue;
mod settlements;

use std::fmt;
use std::time::Duration;

use futures_util::StreamExt as _;
use idem_runtime::{Arrival, Source, SourceError};
use lapin::types::ShortString;
use tokio::sync::{Mutex, watch};

pub use self::delivery::RabbitMqDelivery;
use self::link::Link;
pub use self::queue::QuorumQueue;
use crate::connector::Connector;
use crate::error::{RabbitMqError, is_refusal, reason};

/// Takes the messages of one queue.
///
/// ```
/// use idem_rabbitmq::{QuorumQueue, RabbitMqError, RabbitMqSource};
///
/// # fn main() -> Result<(), RabbitMqError> {
/// let source = RabbitMqSource::new("amqp://guest:guest@127.0.0.1:5672", "ledger")?
///     .prefetch(200)
///     .declare(QuorumQueue::new(20).dead_letter_exchange("ledger.dead")?);
/// # Ok(())
/// # }
/// ```
///
/// # What it reads
///
/// CloudEvents in binary mode (headers `cloudEvents:...` or `cloudEvents_...`) and in structured
/// mode. Of any other message the ID is the property `message-id`, the type is `type`, and headers
/// are headers: route it by [`Consumer::on_type`](idem_runtime::Consumer::on_type).
///
/// # Deadlines
///
/// A delivery has none: it is this consumer's until its connection ends, which heartbeats tell. But
/// for one: RabbitMQ closes the channel of a consumer that keeps a delivery for longer than
/// `consumer_timeout`, 30 minutes by default, which nothing extends. Everything that was in hand then
/// comes again. See [`consumer_timeout`](Self::consumer_timeout).
pub struct RabbitMqSource {
    connector: Connector,
    queue: ShortString,
    prefetch: u16,
    declare: Option<QuorumQueue>,
    consumer_timeout: Option<Duration>,
    delivery_limit: Option<u32>,
    stopped: watch::Sender<bool>,
    state: Mutex<State>,
}

/// What `receive` knows.
#[derive(Default)]
struct State {
    link: Option<Link>,
    /// Whether there ever was one: then what is wrong will pass.
    was_connected: bool,
}

impl RabbitMqSource {
    /// From this queue of the broker at this URL; see [`Connector::url`].
    ///
    /// # Errors
    /// [`RabbitMqError::Url`], [`RabbitMqError::Name`].
    pub fn new(url: &str, queue: &str) -> Result<Self, RabbitMqError> {
        Self::with(Connector::url(url)?, queue)
    }

    /// By your own client: TLS, other ways to authenticate.
    ///
    /// # Errors
    /// [`RabbitMqError::Name`].
    pub fn with(connector: Connector, queue: &str) -> Result<Self, RabbitMqError> {
        Ok(Self {
            connector,
            queue: ShortString::try_new(queue).map_err(|_| RabbitMqError::Name)?,
            prefetch: 100,
            declare: None,
            consumer_timeout: Some(Duration::from_mins(30)),
            delivery_limit: None,
            stopped: watch::Sender::new(false),
            state: Mutex::default(),
        })
    }

    /// How many messages RabbitMQ hands out that are not settled; 100 unless said otherwise.
    ///
    /// That is what bounds memory, and with it the consumer's
    /// [`in_hand`](idem_runtime::Consumer::in_hand): RabbitMQ knows no limit in bytes, so this times
    /// the size of a message is what a slow consumer may have to hold. Less than the consumer's
    /// concurrency leaves handlers without work.
    #[must_use]
    pub fn prefetch(mut self, messages: u16) -> Self {
        // Zero is no limit at all.
        self.prefetch = messages.max(1);
        self
    }

    /// Declares the queue at each connection. Without it the queue must be there.
    #[must_use]
    pub fn declare(mut self, queue: QuorumQueue) -> Self {
        self.delivery_limit = Some(queue.deliveries());
        self.declare = Some(queue);
        self
    }

    /// What `consumer_timeout` is set to in RabbitMQ, if it is not 30 minutes; `None` if it is off. A
    /// minute before it the consumer warns, and names the handler.
    #[must_use]
    pub fn consumer_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.consumer_timeout = timeout;
        self
    }

    /// What the delivery limit of the queue is, if it is a quorum queue that was declared elsewhere:
    /// its `x-delivery-limit`, a policy's `delivery-limit`, 20 on RabbitMQ 4 where neither is set.
    /// RabbitMQ does not tell. The consumer warns if that is fewer than its own attempts, and makes a
    /// dead letter of a message before RabbitMQ drops it.
    #[must_use]
    pub fn known_delivery_limit(mut self, limit: u32) -> Self {
        self.delivery_limit = Some(limit.saturating_add(1));
        self
    }

    async fn connect(&self, state: &mut State) -> Result<(), SourceError> {
        let link = Link::new(
            &self.connector,
            &self.queue,
            self.prefetch,
            self.declare.as_ref(),
            self.stopped.subscribe(),
        );
        match link.await {
            Ok(link) => {
                state.link = Some(link);
                state.was_connected = true;
                Ok(())
            }
            Err(error) if is_refusal(&error) && !state.was_connected => {
                Err(SourceError::permanent(format!(
                    "RabbitMQ refuses to deliver from the queue `{}`: {}. Declare the queue, or let `declare` do it; \
                     one that is there must have the same arguments",
                    self.queue,
                    reason(&error)
                )))
            }
            Err(error) => Err(SourceError::unavailable(format!(
                "RabbitMQ can't be reached, or has not the queue `{}` now: {}",
                self.queue,
                reason(&error)
            ))),
        }
    }
}

impl Source for RabbitMqSource {
    type Delivery = RabbitMqDelivery;

    async fn receive(&self) -> Option<Result<Arrival<RabbitMqDelivery>, SourceError>> {
        let mut stopped = self.stopped.subscribe();
        let mut state = self.state.lock().await;
        let state = &mut *state;
        loop {
            if *stopped.borrow_and_update() {
                // RabbitMQ goes on to deliver until the connection is closed, at most as much as was
                // prefetched, and nobody takes it: it comes again. To cancel the consumer would
                // bring messages out of order: see `RabbitMqDelivery::give_back`.
                state.link = None;
                return None;
            }
            let Some(link) = &mut state.link else {
                match self.connect(state).await {
                    Ok(()) => continue,
                    Err(error) => return Some(Err(error)),
                }
            };
            let next = tokio::select! {
                biased;
                _ = stopped.changed() => continue,
                next = link.consumer.next() => next,
            };
            match next {
                Some(Ok(delivery)) => {
                    if let Some(delivery) = link.delivery(delivery, &self.queue) {
                        return Some(Ok(Arrival::Delivery(delivery)));
                    }
                }
                end => {
                    let why = match end {
                        Some(Err(error)) => reason(&error),
                        _ => "it was deleted, or its node is gone".into(),
                    };
                    state.link = None;
                    return Some(Err(SourceError::unavailable(format!(
                        "RabbitMQ delivers no more from the queue `{}`, and what was in hand comes again: {why}",
                        self.queue
                    ))));
                }
            }
        }
    }

    fn stop(&self) {
        self.stopped.send_replace(true);
    }

    fn system(&self) -> &'static str {
        "rabbitmq"
    }

    fn longest_hold(&self) -> Option<Duration> {
        self.consumer_timeout
    }

    fn delivery_limit(&self) -> Option<u32> {
        self.delivery_limit
    }
}

impl fmt::Debug for RabbitMqSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMqSource")
            .field("queue", &self.queue.as_str())
            .field("prefetch", &self.prefetch)
            .field("declare", &self.declare)
            .finish_non_exhaustive()
    }
}
