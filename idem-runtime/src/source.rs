//! The traits that a broker implements for a consumer.

mod clock;
mod either;
mod error;
mod handover;
mod incoming;

use std::future::Future;
use std::time::Duration;

pub use clock::{Clock, ManualClock};
pub(crate) use either::Either;
pub use error::{SettleError, SourceError};
pub use handover::{Handover, Partition};
pub use incoming::Incoming;

/// Where a [`Consumer`](crate::Consumer) takes its deliveries from: a queue, a topic, a table.
///
/// # What an implementation must do
/// * **Hand out each delivery once.** One that the broker gives again is another [`Delivery`], with
///   [`redelivered`](Incoming::redelivered) set.
/// * **Bound what it fetches in advance**, in messages and bytes. The consumer calls
///   [`receive`](Self::receive) only while it has room, so a source that waits for the next call
///   lets the broker wait, too. (One whose partitions can be revoked is [paused](Self::pause)
///   instead.)
/// * **Keep the order** of each [`partition`](Delivery::partition), or of each ordering key where
///   there are no partitions.
/// * **Stay connected.** A connection that breaks is made again within `receive`; until that
///   succeeds, each attempt may end as a [`SourceError`]. What was handed out before is then
///   [lost](SettleError::lost) where the broker gives it again.
/// * **Never block the thread**, and stay alive without calls of the consumer: heartbeats and polls
///   are on a task or thread of the source's own. A handler may run for minutes.
///
/// A delivery that is dropped is not settled: it comes again when its deadline has passed or its
/// connection is closed, as after a crash.
///
/// ```
/// use std::sync::Mutex;
/// use std::time::Duration;
///
/// use idem_runtime::{Arrival, Delivery, Incoming, SettleError, Source, SourceError};
/// use tokio::sync::{mpsc, watch};
///
/// /// Messages of this process. What is given back is gone: no broker is behind it.
/// struct Channel {
///     queue: tokio::sync::Mutex<mpsc::Receiver<Incoming>>,
///     stopped: watch::Sender<bool>,
/// }
///
/// struct Taken(Incoming);
///
/// impl Source for Channel {
///     type Delivery = Taken;
///
///     async fn receive(&self) -> Option<Result<Arrival<Taken>, SourceError>> {
///         let mut stopped = self.stopped.subscribe();
///         let mut queue = self.queue.lock().await;
///         tokio::select! {
///             biased;
///             _ = stopped.wait_for(|stopped| *stopped) => None,
///             incoming = queue.recv() => Some(Ok(Arrival::Delivery(Taken(incoming?)))),
///         }
///     }
///
///     fn stop(&self) {
///         self.stopped.send_replace(true);
///     }
/// }
///
/// impl Delivery for Taken {
///     fn incoming(&self) -> &Incoming {
///         &self.0
///     }
///
///     async fn ack(self) -> Result<(), SettleError> {
///         Ok(())
///     }
///
///     async fn give_back(self, _after: Duration) -> Result<(), SettleError> {
///         Ok(())
///     }
///
///     async fn reject(self, _reason: &str) -> Result<(), SettleError> {
///         Ok(())
///     }
/// }
/// ```
pub trait Source: Send + Sync + 'static {
    /// What it hands out.
    type Delivery: Delivery;

    /// The next thing that happens: a delivery, or partitions that are taken away.
    ///
    /// The future is never dropped while it is pending, except when the runtime ends. So it may
    /// hold what it took from the broker across an await. It is called again after each answer
    /// except `None`, by one task at a time.
    ///
    /// `None` ends the consumer. It comes after [`stop`](Self::stop), once everything that was
    /// taken from the broker was handed out; earlier only if nothing can ever come again.
    ///
    /// # Errors
    /// See [`SourceError`]. The consumer calls again after a pause, unless the error is
    /// [permanent](SourceError::permanent).
    fn receive(
        &self,
    ) -> impl Future<Output = Option<Result<Arrival<Self::Delivery>, SourceError>>> + Send;

    /// Takes nothing from the broker any more. [`receive`](Self::receive) then hands out what was
    /// taken already, and ends with `None`. Deliveries that were handed out can still be settled
    /// and extended. Called twice, it does the same as called once.
    fn stop(&self);

    /// With `true`: hand out no delivery until this is called with `false`, because the consumer
    /// has no room or its database is away. [`receive`](Self::receive) is still called, and reports
    /// partitions that are [revoked](Arrival::Revoked). Returns whether the source supports this.
    ///
    /// A source whose partitions are never revoked keeps the default, `false`: the consumer then
    /// does not call `receive` while it takes nothing.
    fn pause(&self, paused: bool) -> bool {
        let _ = paused;
        false
    }

    /// Which broker it is, as `messaging.system` of OpenTelemetry names it: `kafka`, `rabbitmq`.
    fn system(&self) -> &'static str {
        "other"
    }

    /// How long a delivery can be kept at most, however often it is
    /// [extended](Delivery::extend): RabbitMQ's `consumer_timeout`, the 12 hours of SQS. A minute
    /// before that the consumer warns, and names the handler. `None`: there is no such bound.
    fn longest_hold(&self) -> Option<Duration> {
        None
    }

    /// How often the broker hands out one message before it gives it up by itself, as far as that
    /// is known once the first delivery has arrived: one more than the delivery limit of a quorum
    /// queue, `maxReceiveCount`, `max_deliver`. The consumer warns if that is not above its own
    /// attempts. An attempt that fails one delivery before it makes a dead letter at once.
    fn delivery_limit(&self) -> Option<u32> {
        None
    }

    /// Whether a delivery that is given back keeps its place among those of its key.
    #[doc(hidden)]
    fn keeps_order(&self) -> bool {
        false
    }

    /// The clock of the consumer. Only a source for tests has another than the system's.
    #[doc(hidden)]
    fn clock(&self) -> Clock {
        Clock::default()
    }
}

impl<S: Source> Source for std::sync::Arc<S> {
    type Delivery = S::Delivery;

    fn receive(
        &self,
    ) -> impl Future<Output = Option<Result<Arrival<Self::Delivery>, SourceError>>> + Send {
        (**self).receive()
    }

    fn stop(&self) {
        (**self).stop();
    }

    fn pause(&self, paused: bool) -> bool {
        (**self).pause(paused)
    }

    fn system(&self) -> &'static str {
        (**self).system()
    }

    fn longest_hold(&self) -> Option<Duration> {
        (**self).longest_hold()
    }

    fn delivery_limit(&self) -> Option<u32> {
        (**self).delivery_limit()
    }

    fn keeps_order(&self) -> bool {
        (**self).keeps_order()
    }

    fn clock(&self) -> Clock {
        (**self).clock()
    }
}

/// What a [`Source`] hands out.
#[derive(Debug)]
#[non_exhaustive]
pub enum Arrival<D> {
    /// A message.
    Delivery(D),
    /// The broker takes these partitions away, as a rebalance of a Kafka group does. The consumer
    /// runs nothing more of them, waits for what runs and settles it, and then drops the
    /// [`Handover`]. Their deliveries that did not run are dropped without being settled: the next
    /// owner gets them.
    Revoked(Vec<Partition>, Handover),
}

/// One message that a broker handed out, until it is settled.
///
/// The methods that settle it take it by value, so that it is settled once. All these futures are
/// awaited to their end, unless the consumer itself is dropped.
///
/// The consumer settles many deliveries at once. Where the broker takes many settlements in one
/// request, merge what comes within a few milliseconds.
pub trait Delivery: Send + Sync + 'static {
    /// The message.
    fn incoming(&self) -> &Incoming;

    /// The part of the source that it came from. There is order within a part, not between parts,
    /// and a part is [revoked](Arrival::Revoked) as a whole. A source of one part keeps the
    /// default.
    fn partition(&self) -> Partition {
        Partition::default()
    }

    /// How long the broker leaves it to this consumer if it is neither settled nor extended.
    /// `None`: until its connection ends. Called once, when it arrives.
    fn time_left(&self) -> Option<Duration> {
        None
    }

    /// Handled: the broker is not to deliver it again. The consumer calls it only after COMMIT.
    ///
    /// # Errors
    /// `Ok` says that the broker confirmed it. See [`SettleError`] for everything else; the message
    /// may then come again, and is recognised as a duplicate.
    fn ack(self) -> impl Future<Output = Result<(), SettleError>> + Send;

    /// Not handled: the broker is to deliver it again, to any consumer, not before `after` has
    /// passed, as far as the broker can do that.
    ///
    /// # Errors
    /// See [`SettleError`].
    fn give_back(self, after: Duration) -> impl Future<Output = Result<(), SettleError>> + Send;

    /// Not handled, and never to be delivered again: the broker puts it to its own dead letters, or
    /// drops it if it has none. The consumer calls this only if its database can't store the dead
    /// letter, for example because it is too large. The reason quotes nothing of the message.
    ///
    /// # Errors
    /// See [`SettleError`].
    fn reject(self, reason: &str) -> impl Future<Output = Result<(), SettleError>> + Send;

    /// Asks the broker to leave it to this consumer for longer, and returns for how long from now.
    /// `None`: until its connection ends. The consumer calls it each time a third of that has
    /// passed, while the delivery runs or waits.
    ///
    /// # Errors
    /// [`SettleError::lost`] if the broker took it back: the consumer then forgets it, and gives
    /// back what came after it with its key. After any other error it tries again while there is
    /// time left.
    fn extend(&self) -> impl Future<Output = Result<Option<Duration>, SettleError>> + Send {
        async { Ok(None) }
    }
}
