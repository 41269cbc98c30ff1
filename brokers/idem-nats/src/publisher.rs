//! Events to JetStream.

mod answer;
mod call;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::Subject;
use idem_runtime::{Message, PublishBatch, PublishError, Publisher, in_order};

use self::call::{Call, Unanswered};
use crate::connector::Connector;
use crate::envelope::{headers, size};
use crate::error::NatsError;
use crate::subject::{is_for_events, is_subject, name};

/// Sends each event to the subject that is called as its topic, for the stream that takes it, as
/// CloudEvents 1.0 in binary mode.
///
/// ```
/// use idem_nats::{NatsError, NatsPublisher};
///
/// # fn main() -> Result<(), NatsError> {
/// let publisher = NatsPublisher::new("nats://127.0.0.1:4222")?.subject_prefix("shop")?.stream("EVENTS")?;
/// # Ok(())
/// # }
/// ```
///
/// Make the streams before: a publisher that made them would hide a spelling mistake.
///
/// # What confirmed means
///
/// The stream has answered that it has the event: each replica of a majority, or the one server. Its
/// header `Nats-Msg-Id` is the event's ID, so that a stream stores what is published again within its
/// `duplicate_window`, two minutes by default, once.
///
/// | what happens | verdict |
/// |---|---|
/// | the stream has it, or had it already (`duplicate`) | confirmed |
/// | no stream takes the subject; another one than [`stream`](Self::stream) does | retryable: it is the topic's own fault, and others go on |
/// | the stream is full and discards new messages | retryable |
/// | no connection, or it is lost; the stream has no leader; JetStream is off or short of storage | unavailable: the relay pauses, and nobody's attempt is counted |
/// | no answer within the [timeout](Self::timeout) | retryable if other events were confirmed meanwhile, else unavailable |
/// | a topic that can't be a subject; larger than `max_payload` of the server or `max_msg_size` of the stream | a dead letter at once |
///
/// An event whose connection was lost may have arrived. It is published again under the same ID.
///
/// # Order and concurrency
///
/// All on one connection, whatever the number of clones. Of one ordering key an event is sent when
/// the one before it was confirmed, so that none overtakes one that was refused; different keys and
/// events without one go side by side, up to [`concurrency`](Self::concurrency).
#[derive(Clone)]
pub struct NatsPublisher {
    connector: Connector,
    /// With its dot, or empty.
    prefix: String,
    stream: Option<String>,
    timeout: Duration,
    concurrency: usize,
    /// How many events were confirmed.
    confirmed: Arc<AtomicU64>,
}

impl NatsPublisher {
    /// To the servers at this URL; see [`Connector::url`].
    ///
    /// # Errors
    /// [`NatsError::Url`].
    pub fn new(url: &str) -> Result<Self, NatsError> {
        Ok(Self::with(Connector::url(url)?))
    }

    /// By a [`Connector`], your own [`Client`](async_nats::Client), or a
    /// [`Context`](async_nats::jetstream::Context) of JetStream.
    #[must_use]
    pub fn with(connector: impl Into<Connector>) -> Self {
        Self {
            connector: connector.into(),
            prefix: String::new(),
            stream: None,
            timeout: Duration::from_secs(10),
            concurrency: 256,
            confirmed: Arc::default(),
        }
    }

    /// Words in front of each topic, such as `shop` or `shop.eu`; none unless said otherwise.
    ///
    /// # Errors
    /// [`NatsError::Subject`].
    pub fn subject_prefix(mut self, prefix: &str) -> Result<Self, NatsError> {
        if !is_subject(prefix) {
            return Err(NatsError::Subject);
        }
        self.prefix = format!("{prefix}.");
        Ok(self)
    }

    /// The name of the stream that is to take all events. An event whose subject belongs to another
    /// one is refused.
    ///
    /// # Errors
    /// [`NatsError::Name`].
    pub fn stream(mut self, stream: &str) -> Result<Self, NatsError> {
        self.stream = Some(name(stream)?);
        Ok(self)
    }

    /// How long a stream may take to confirm an event; 10 s unless said otherwise. It is looked at
    /// every 100 ms.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many events are on their way at once; 256 unless said otherwise. A relay hands over no
    /// more.
    #[must_use]
    pub fn concurrency(mut self, events: usize) -> Self {
        self.concurrency = events.max(1);
        self
    }

    async fn send_all(&self, batch: PublishBatch, call: Result<&Call, &PublishError>) {
        in_order(batch, self.concurrency, |message| async move {
            self.send(call, &message).await
        })
        .await;
    }

    async fn send(
        &self,
        call: Result<&Call, &PublishError>,
        message: &Message,
    ) -> Result<(), PublishError> {
        let subject = Subject::from(format!("{}{}", self.prefix, message.topic));
        if !is_subject(&message.topic) || !is_for_events(&subject) {
            return Err(PublishError::permanent(format!(
                "its topic `{}` can't be a subject of NATS: words with dots between them, without blanks, `*` and `>`, of 1,024 bytes at \
                 most, and not the servers' own",
                message.topic.escape_debug()
            )));
        }
        let call = call.map_err(Clone::clone)?;
        let headers = headers(message, self.stream.as_deref());
        let (size, limit) = (size(&headers, message.payload.len()), call.largest());
        if size > limit {
            return Err(PublishError::permanent(format!(
                "it has {size} bytes with its headers, and the server takes {limit}: raise `max_payload`, or make the event smaller"
            )));
        }
        let before = self.confirmed.load(Ordering::Relaxed);
        let payload = message.payload.clone();
        let answered = call.answer(subject.clone(), headers, payload, self.timeout);
        let verdict = match answered.await {
            Ok(answer) => self::answer::verdict(&answer.payload, &subject),
            Err(Unanswered::NobodyThere) => Err(call.nobody_answers(&subject).await),
            Err(Unanswered::ConnectionLost) => Err(PublishError::unavailable(
                "the connection to NATS was lost before the event was confirmed",
            )),
            Err(Unanswered::Late) => Err(self.late(before)),
            Err(Unanswered::Failed(error)) => Err(PublishError::unavailable(format!(
                "publishing to NATS failed: {error}"
            ))),
        };
        if verdict.is_ok() {
            self.confirmed.fetch_add(1, Ordering::Relaxed);
        }
        verdict
    }

    fn late(&self, confirmed_before: u64) -> PublishError {
        let limit = self.timeout;
        let reason = format!("no stream has confirmed it within {limit:?}");
        if self.confirmed.load(Ordering::Relaxed) > confirmed_before {
            return PublishError::retryable(reason);
        }
        PublishError::unavailable(format!(
            "{reason}, nor any other event: the server hangs, its disk is slow, or the user may not publish to the subject"
        ))
    }
}

impl Publisher for NatsPublisher {
    async fn publish(&self, batch: PublishBatch) {
        match Call::begin(&self.connector).await {
            Ok((call, answers)) => {
                let sending = self.send_all(batch, Ok(&call));
                call.look_after(answers, sending).await;
            }
            // Also then a topic that can't be a subject is given up.
            Err(error) => self.send_all(batch, Err(&error)).await,
        }
    }

    fn max_in_flight(&self) -> usize {
        self.concurrency
    }
}

impl fmt::Debug for NatsPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsPublisher")
            .field("prefix", &self.prefix)
            .field("stream", &self.stream)
            .field("timeout", &self.timeout)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}
