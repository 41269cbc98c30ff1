//! Events to Kafka.

mod answer;
mod lane;
mod session;

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use idem_runtime::{PublishBatch, PublishError, Publisher};
use rdkafka::ClientConfig;
use tokio::task::yield_now;

use self::lane::{Call, Lane};
use self::session::{MapTopic, Session, Settings};
use crate::connector::Connector;
use crate::error::KafkaError;

/// How many events are handed to the client before others of the runtime have their turn.
const AT_ONCE: usize = 256;

/// Sends each event to the topic of Kafka that has the same name as its own, as CloudEvents 1.0 in
/// binary mode, with its ordering key as the record's key.
///
/// ```
/// use idem_kafka::{KafkaError, KafkaPublisher};
///
/// # fn main() -> Result<(), KafkaError> {
/// let publisher = KafkaPublisher::new("127.0.0.1:9092")?.map_topic(|topic| format!("shop.{topic}"));
/// # Ok(())
/// # }
/// ```
///
/// Create the topics before: a broker that makes them by itself hides a spelling mistake, and gives
/// them its default number of partitions and replicas.
///
/// # What confirmed means
///
/// The leader of the partition has answered after all replicas that are in sync have the event
/// (`acks=all`). `min.insync.replicas` of the topic says how many that are at least. The producer is
/// idempotent: what it sends again by itself is there once, and in order.
///
/// | what happens | verdict |
/// |---|---|
/// | all replicas in sync have it | confirmed |
/// | the topic does not exist, or its name is not valid; larger than `max.message.bytes`; refused by its topic | a dead letter at once, with the fix |
/// | the user may not write to the topic | retryable: it is the topic's own fault, and others go on |
/// | no broker can be reached; the producer ended; no access to the cluster | unavailable: the relay pauses, and nobody's attempt is counted |
/// | no answer within the [timeout](Self::timeout) | retryable if other events were confirmed meanwhile, else unavailable |
///
/// An event whose answer was lost may have arrived. It is published again under the same ID.
///
/// # Order and concurrency
///
/// All clones are one producer. Of one ordering key an event is sent when the one before it was
/// confirmed, so that none overtakes one that failed; different keys, and events without one, go
/// together in batches, up to [`concurrency`](Self::concurrency).
#[derive(Clone)]
pub struct KafkaPublisher {
    config: ClientConfig,
    timeout: Duration,
    map_topic: Arc<MapTopic>,
    concurrency: usize,
    sessions: Arc<Sessions>,
}

/// The present producers.
#[derive(Default)]
struct Sessions {
    together: Mutex<Option<Arc<Session>>>,
    /// Of what was refused together with others.
    alone: Mutex<Option<Arc<Session>>>,
    settings: Mutex<Option<Arc<Settings>>>,
}

impl KafkaPublisher {
    /// To these brokers: `host:port`, several with commas between them.
    ///
    /// # Errors
    /// [`KafkaError::Brokers`].
    pub fn new(brokers: &str) -> Result<Self, KafkaError> {
        Self::with(Connector::brokers(brokers)?)
    }

    /// By your own [`ClientConfig`]: TLS, SASL, compression.
    ///
    /// # Errors
    /// [`KafkaError::Setting`], [`KafkaError::Refused`].
    pub fn with(connector: impl Into<Connector>) -> Result<Self, KafkaError> {
        Ok(Self {
            config: connector.into().producer()?,
            timeout: Duration::from_secs(10),
            map_topic: Arc::new(str::to_owned),
            concurrency: 10_000,
            sessions: Arc::default(),
        })
    }

    /// The topic of Kafka for a topic of an event; the same unless said otherwise.
    #[must_use]
    pub fn map_topic(mut self, map: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        self.map_topic = Arc::new(map);
        self.sessions = Arc::default();
        self
    }

    /// How long Kafka may take to confirm an event; 10 s unless said otherwise. It is the client's
    /// `message.timeout.ms`, within which it sends again by itself.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self.sessions = Arc::default();
        self
    }

    /// How many events are on their way at once; 10,000 unless said otherwise. A relay hands over no
    /// more.
    #[must_use]
    pub fn concurrency(mut self, events: usize) -> Self {
        self.concurrency = events.max(1);
        self
    }

    /// The present producer, or a new one.
    fn session(&self, alone: bool) -> Result<Arc<Session>, PublishError> {
        let place = if alone {
            &self.sessions.alone
        } else {
            &self.sessions.together
        };
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = place.as_ref().filter(|session| !session.has_ended()) {
            return Ok(Arc::clone(session));
        }
        let session = Session::begin(&self.config, &self.settings(), alone);
        let session = session.map_err(|error| {
            PublishError::unavailable(format!("a producer of Kafka can't be made: {error}"))
        })?;
        let session = Arc::new(session);
        *place = Some(Arc::clone(&session));
        Ok(session)
    }

    fn settings(&self) -> Arc<Settings> {
        let mut settings = self
            .sessions
            .settings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let made = || {
            Arc::new(Settings {
                timeout: self.timeout,
                map_topic: Arc::clone(&self.map_topic),
                confirmed: AtomicU64::new(0),
            })
        };
        Arc::clone(settings.get_or_insert_with(made))
    }

    async fn send(&self, lanes: Vec<Lane>, alone: bool) {
        let session = match self.session(alone) {
            Ok(session) => session,
            Err(error) => {
                for lane in lanes {
                    lane.ended(Err(error.clone()));
                }
                return;
            }
        };
        for (place, lane) in lanes.into_iter().enumerate() {
            if place > 0 && place.is_multiple_of(AT_ONCE) {
                yield_now().await;
            }
            session.send(lane);
        }
    }
}

impl Publisher for KafkaPublisher {
    async fn publish(&self, batch: PublishBatch) {
        let (call, lanes) = Call::new(batch);
        // Also if this future is dropped.
        let _stops = Stops(Arc::clone(&call));
        self.send(lanes, false).await;
        while let Some(refused) = call.next_refused().await {
            self.send(refused, true).await;
        }
    }

    fn max_in_flight(&self) -> usize {
        self.concurrency
    }
}

/// Sends nothing more of a call that is over.
struct Stops(Arc<Call>);

impl Drop for Stops {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl fmt::Debug for KafkaPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaPublisher")
            .field("timeout", &self.timeout)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}
