//! A producer, the thread that serves it, and another one after its end.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{ClientContext, Statistics};

use super::answer::{self, Attempt};
use super::lane::Lane;
use crate::envelope::{headers, timestamp};
use crate::log::log;
use crate::topic::is_topic;

/// How long the thread waits for reports before it looks whether it is still needed.
const POLL: Duration = Duration::from_millis(100);

/// How a topic of an event becomes one of Kafka.
pub(super) type MapTopic = dyn Fn(&str) -> String + Send + Sync;

/// What all producers of a publisher share.
pub(super) struct Settings {
    pub(super) timeout: Duration,
    pub(super) map_topic: Arc<MapTopic>,
    /// How many events were confirmed.
    pub(super) confirmed: AtomicU64,
}

type Producer = BaseProducer<Context>;

/// A producer that works. The last one who has it ends it, once it has no event any more.
pub(super) struct Session {
    producer: Arc<Producer>,
    closing: Arc<AtomicBool>,
}

/// What hears the reports.
struct Context {
    settings: Arc<Settings>,
    /// Whether each event is a request of its own.
    alone: bool,
    /// The producer that this is of.
    producer: OnceLock<Weak<Producer>>,
    /// It confirms nothing more.
    has_ended: AtomicBool,
    /// What the producer's queue had no room for.
    waiting: Mutex<VecDeque<Lane>>,
}

/// An event that is with the client.
struct Sent {
    lane: Lane,
    /// How many events were confirmed when it was sent.
    before: u64,
}

impl Session {
    /// Begins to connect. `alone`: each event in a request of its own.
    pub(super) fn begin(
        config: &ClientConfig,
        settings: &Arc<Settings>,
        alone: bool,
    ) -> Result<Self, ClientError> {
        let mut config = config.clone();
        let millis = settings.timeout.as_millis().max(1);
        config.set("message.timeout.ms", millis.to_string());
        if alone {
            config.set("batch.num.messages", "1");
        }
        let context = Context {
            settings: Arc::clone(settings),
            alone,
            producer: OnceLock::new(),
            has_ended: AtomicBool::new(false),
            waiting: Mutex::default(),
        };
        let producer = Arc::new(Producer::from_config_and_context(&config, context)?);
        let context = Arc::clone(producer.context());
        // Nothing was sent before.
        let _ = context.producer.set(Arc::downgrade(&producer));
        let closing = Arc::new(AtomicBool::new(false));
        let (served, is_over) = (Arc::clone(&producer), Arc::clone(&closing));
        let limit = settings.timeout;
        let serving = thread::Builder::new().name("idem-kafka".into());
        let serving = serving.spawn(move || serve(&served, &is_over, limit));
        serving.map_err(|error| ClientError::ClientCreation(error.to_string()))?;
        Ok(Self { producer, closing })
    }

    pub(super) fn has_ended(&self) -> bool {
        self.producer.context().has_ended.load(Ordering::SeqCst)
    }

    /// Sends the present message of the lane. Its verdict, and the next one, follow from the report.
    pub(super) fn send(&self, lane: Lane) {
        self.producer.context().send(&self.producer, lane);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
    }
}

/// Takes the reports, to the end.
fn serve(producer: &Producer, closing: &AtomicBool, limit: Duration) {
    let mut end = None;
    loop {
        producer.poll(POLL);
        if !closing.load(Ordering::SeqCst) {
            continue;
        }
        // What is on its way ends within its time.
        let end = end.get_or_insert_with(|| Instant::now() + limit + POLL);
        if producer.in_flight_count() == 0 || Instant::now() > *end {
            return;
        }
    }
}

impl Context {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Lane>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, producer: &Producer, lane: Lane) {
        let mut next = Some(lane);
        while let Some(lane) = next.take() {
            if lane.is_stopped() {
                return;
            }
            next = self.try_send(producer, lane);
        }
    }

    /// What is to be sent next if this one has ended at once.
    fn try_send(&self, producer: &Producer, lane: Lane) -> Option<Lane> {
        let message = lane.current();
        let topic = (self.settings.map_topic)(&message.topic);
        if !is_topic(&topic) {
            return lane.ended(Err(answer::not_a_topic(&topic)));
        }
        let (headers, timestamp) = (headers(&message), timestamp(&message));
        let before = self.settings.confirmed.load(Ordering::Relaxed);
        let mut record = BaseRecord::with_opaque_to(&topic, Box::new(Sent { lane, before }))
            .payload(&message.payload)
            .headers(headers)
            .timestamp(timestamp);
        if let Some(key) = &message.key {
            record = record.key(key);
        }
        let Err((error, record)) = producer.send(record) else {
            return None;
        };
        let Sent { lane, before } = *record.delivery_opaque;
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::QueueFull) {
            // Each report of an event before it makes room.
            self.waiting().push_back(lane);
            return None;
        }
        self.not_confirmed(lane, code, &topic, before)
    }

    /// What is to be sent next.
    fn not_confirmed(
        &self,
        lane: Lane,
        code: Option<RDKafkaErrorCode>,
        topic: &str,
        before: u64,
    ) -> Option<Lane> {
        let code = code.unwrap_or(RDKafkaErrorCode::Unknown);
        if answer::ends_producer(code) {
            self.has_ended.store(true, Ordering::SeqCst);
        }
        let attempt = Attempt {
            topic,
            bytes: lane.current().payload.len(),
            timeout: self.settings.timeout,
            others_were_confirmed: self.settings.confirmed.load(Ordering::Relaxed) > before,
        };
        lane.ended(Err(answer::verdict(code, attempt)))
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Sent>;

    /// Called by the thread alone.
    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Sent>) {
        let Sent { lane, before } = *sent;
        let next = match result {
            Ok(_) => {
                self.settings.confirmed.fetch_add(1, Ordering::Relaxed);
                lane.ended(Ok(()))
            }
            Err((error, message)) => {
                let code = error.rdkafka_error_code();
                if code == Some(RDKafkaErrorCode::MessageSizeTooLarge) && !self.alone {
                    // The broker refuses a batch, and one of its messages may be the reason.
                    lane.send_alone();
                    None
                } else {
                    self.not_confirmed(lane, code, message.topic(), before)
                }
            }
        };
        // It is gone once nothing is to be sent any more.
        let Some(producer) = self.producer.get().and_then(Weak::upgrade) else {
            self.waiting().clear();
            return;
        };
        if let Some(next) = next {
            self.send(&producer, next);
        }
        let waiting = self.waiting().pop_front();
        if let Some(waiting) = waiting {
            self.send(&producer, waiting);
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn stats(&self, _: Statistics) {}

    fn error(&self, error: ClientError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.has_ended.store(true, Ordering::SeqCst);
            tracing::warn!(reason, "the producer has ended, and is made again");
        } else {
            tracing::debug!(%error, reason, "the producer reports an error");
        }
    }
}
