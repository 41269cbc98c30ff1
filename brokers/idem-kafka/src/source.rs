//! Messages of topics.

mod buffer;
mod client;
mod commits;
mod delivery;
mod failure;
mod flow;
mod limits;
mod shared;
mod tracker;

use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use idem_runtime::{Arrival, Source, SourceError};
use rdkafka::ClientConfig;
use tokio::time::sleep_until;

use self::buffer::Next;
pub use self::delivery::KafkaDelivery;
use self::limits::Limits;
use self::shared::Shared;
use crate::connector::Connector;
use crate::error::KafkaError;
use crate::topic::is_subscription;

/// Takes the messages of topics, as a member of a group.
///
/// ```
/// use idem_kafka::{KafkaError, KafkaSource};
///
/// # fn main() -> Result<(), KafkaError> {
/// let source = KafkaSource::new("127.0.0.1:9092", "ledger", ["payments.captured"])?.window(5_000);
/// # Ok(())
/// # }
/// ```
///
/// All instances of a group share the partitions of its topics; a partition is one instance's at a
/// time. A topic that begins with `^` is a pattern.
///
/// # What it reads
///
/// CloudEvents in binary mode (headers `ce_...`) and in structured mode (header `content-type`:
/// `application/cloudevents+json`). Of any other message headers are headers, the record's key is the
/// ordering key, and topic, partition and offset are what it is known by, as
/// [`position`](idem_runtime::Incoming::position). A record without a value, a tombstone, has an
/// empty body and a header `kafka_tombstone`.
///
/// # Deadlines
///
/// A delivery has none. A thread of the source's own polls, whatever handlers do, so
/// `max.poll.interval.ms` bounds only how long partitions may take to be handed over when they are
/// revoked.
pub struct KafkaSource {
    config: ClientConfig,
    group: String,
    topics: Vec<String>,
    shared: Arc<Shared>,
    started: Mutex<bool>,
}

impl KafkaSource {
    /// From these topics, of the brokers `host:port`, several with commas between them.
    ///
    /// # Errors
    /// [`KafkaError::Brokers`], [`KafkaError::Name`].
    pub fn new<T: Into<String>>(
        brokers: &str,
        group: &str,
        topics: impl IntoIterator<Item = T>,
    ) -> Result<Self, KafkaError> {
        Self::with(Connector::brokers(brokers)?, group, topics)
    }

    /// By your own [`ClientConfig`]: TLS, SASL, static membership, another assignment.
    ///
    /// # Errors
    /// [`KafkaError::Name`], [`KafkaError::Setting`], [`KafkaError::Refused`].
    pub fn with<T: Into<String>>(
        connector: impl Into<Connector>,
        group: &str,
        topics: impl IntoIterator<Item = T>,
    ) -> Result<Self, KafkaError> {
        let topics: Vec<String> = topics.into_iter().map(Into::into).collect();
        let are_topics = topics.iter().all(|topic| is_subscription(topic));
        if topics.is_empty() || !are_topics || group.is_empty() || group.contains('\0') {
            return Err(KafkaError::Name);
        }
        Ok(Self {
            config: connector.into().consumer(group)?,
            group: group.to_owned(),
            topics,
            shared: Arc::new(Shared::new(Limits {
                messages: 1_000,
                bytes: 16 * 1024 * 1024,
                window: 10_000,
            })),
            started: Mutex::new(false),
        })
    }

    /// How many messages wait in the source before the consumer asks for them; 1,000 unless said
    /// otherwise. Those that it has asked for are bounded by
    /// [`in_hand`](idem_runtime::Consumer::in_hand).
    #[must_use]
    pub fn prefetch(self, messages: usize) -> Self {
        self.limited(|limits| limits.messages = messages.max(1))
    }

    /// The same in bytes; 16 MiB unless said otherwise. The client has as much again, as its setting
    /// `queued.max.messages.kbytes` says.
    #[must_use]
    pub fn prefetch_bytes(self, bytes: usize) -> Self {
        self.limited(|limits| limits.bytes = bytes.max(1))
    }

    /// How many messages of one partition are taken past the oldest one whose offset is not
    /// committed; 10,000 unless said otherwise. At that number this partition alone is paused, until
    /// half of them are committed: one message that runs for long holds up no more than that. After a
    /// crash at most as many come again, and count as handed out before.
    #[must_use]
    pub fn window(self, messages: usize) -> Self {
        self.limited(|limits| limits.window = messages.max(1))
    }

    fn limited(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = self.shared.limits;
        change(&mut limits);
        self.shared = Arc::new(Shared::new(limits));
        self
    }

    /// How many partitions are this instance's now. None before the group has assigned them, which
    /// takes a few seconds after the consumer has begun, or if there are more instances than
    /// partitions.
    pub fn partitions(&self) -> usize {
        self.shared.state().assignments.len()
    }

    fn start(&self) -> Result<(), SourceError> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if !*started {
            client::start(&self.config, &self.group, &self.topics, &self.shared)?;
            *started = true;
        }
        Ok(())
    }

    /// What has arrived, or until when nothing does.
    fn next(&self) -> Result<Option<Result<Arrival<KafkaDelivery>, SourceError>>, Option<Instant>> {
        let mut state = self.shared.state();
        if let Some((partitions, handover)) = state.revoked.pop_front() {
            return Ok(Some(Ok(Arrival::Revoked(partitions, handover))));
        }
        if state.stopped {
            return Ok(None);
        }
        if let Some(error) = state.failure.take().or_else(|| state.end.clone()) {
            return Ok(Some(Err(error)));
        }
        if state.paused {
            return Err(None);
        }
        match state.hand_out() {
            Next::Message(waiting) => {
                let partition = state.partition(waiting.assignment);
                let needs_threads = state.poller_waits || state.has_work(self.shared.limits);
                drop(state);
                if needs_threads {
                    self.shared.work.notify_all();
                }
                let shared = Arc::clone(&self.shared);
                let (assignment, offset) = (waiting.assignment, waiting.offset);
                let delivery =
                    KafkaDelivery::new(waiting.incoming, partition, shared, assignment, offset);
                Ok(Some(Ok(Arrival::Delivery(delivery))))
            }
            Next::Later(due) => Err(Some(due)),
            Next::Nothing => Err(None),
        }
    }
}

impl Source for KafkaSource {
    type Delivery = KafkaDelivery;

    async fn receive(&self) -> Option<Result<Arrival<KafkaDelivery>, SourceError>> {
        if !self.shared.state().stopped
            && let Err(error) = self.start()
        {
            return Some(Err(error));
        }
        loop {
            let due = match self.next() {
                Ok(arrived) => return arrived,
                Err(due) => due,
            };
            let is_due = async {
                match due {
                    Some(due) => sleep_until(due.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = self.shared.changed.notified() => {}
                () = is_due => {}
            }
        }
    }

    fn stop(&self) {
        self.shared.stop();
    }

    fn pause(&self, paused: bool) -> bool {
        self.shared.state().paused = paused;
        self.shared.changed.notify_one();
        true
    }

    fn system(&self) -> &'static str {
        "kafka"
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSource")
            .field("group", &self.group)
            .field("topics", &self.topics)
            .field("limits", &self.shared.limits)
            .finish_non_exhaustive()
    }
}
