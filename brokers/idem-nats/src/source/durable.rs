//! The stream and the consumer as the source makes them.

use std::time::Duration;

use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy, PullConsumer};
use async_nats::jetstream::stream::{self, StorageType};

use crate::error::NatsError;
use crate::subject::{covers, pattern};

/// A durable pull consumer that acknowledges each message, and the stream that it takes from, in
/// files.
///
/// Each is made if it is not there. A stream that is there keeps its settings, and must take the
/// subjects; a consumer that is there must have the same settings.
#[derive(Clone, Debug, PartialEq)]
pub struct DurableConsumer {
    subjects: Vec<String>,
    filter: Option<String>,
    ack_wait: Duration,
    max_deliver: Option<u32>,
    max_ack_pending: u32,
    replicas: usize,
}

impl DurableConsumer {
    /// Of a stream of these subjects, all of them. `*` in a subject is any word, and `>` at its end
    /// the rest.
    ///
    /// A stream that is made here keeps messages without a limit of age, size or number, whether they
    /// were handled or not. Set `max_age` of the stream when you know for how long others need them.
    ///
    /// # Errors
    /// [`NatsError::Subject`].
    pub fn new<S: AsRef<str>>(subjects: impl IntoIterator<Item = S>) -> Result<Self, NatsError> {
        let subjects = subjects
            .into_iter()
            .map(|subject| pattern(subject.as_ref()));
        Ok(Self {
            subjects: subjects.collect::<Result<_, _>>()?,
            filter: None,
            ack_wait: Duration::from_secs(30),
            max_deliver: None,
            max_ack_pending: 1_000,
            replicas: 1,
        })
    }

    /// Takes the messages of this subject alone; all of the stream unless said otherwise.
    ///
    /// # Errors
    /// [`NatsError::Subject`].
    pub fn filter(mut self, subject: &str) -> Result<Self, NatsError> {
        self.filter = Some(pattern(subject)?);
        Ok(self)
    }

    /// After how long without an ack or an extension a message is handed out again; 30 s unless said
    /// otherwise, and one second or more. Deliveries are extended at a third of it, so this is how soon
    /// a process that died is replaced.
    #[must_use]
    pub fn ack_wait(mut self, wait: Duration) -> Self {
        self.ack_wait = wait.max(Duration::from_secs(1));
        self
    }

    /// How often a message is handed out; without an end unless said otherwise. After that JetStream
    /// never delivers it again, and tells nobody but by an advisory.
    ///
    /// Deliveries are not attempts: the consumer counts attempts itself, and keeps a message in hand
    /// between them, but each process that died or shut down with the message in hand is a delivery.
    /// So give it a multiple of the consumer's attempts. The consumer makes its own dead letter before
    /// JetStream gives the message up.
    #[must_use]
    pub fn max_deliver(mut self, deliveries: u32) -> Self {
        self.max_deliver = Some(deliveries.max(1));
        self
    }

    /// How many messages are handed out and not settled, over all instances; 1,000 unless said
    /// otherwise.
    #[must_use]
    pub fn max_ack_pending(mut self, messages: u32) -> Self {
        self.max_ack_pending = messages.max(1);
        self
    }

    /// Hands out one message at a time, over all instances: `max_ack_pending` is 1. Then messages are
    /// in the order of the stream, over all instances, too, and nothing is handled side by side.
    #[must_use]
    pub fn in_order(self) -> Self {
        self.max_ack_pending(1)
    }

    /// How many servers keep a stream that is made here; one unless said otherwise. Three or five in a
    /// cluster.
    #[must_use]
    pub fn replicas(mut self, servers: usize) -> Self {
        self.replicas = servers.max(1);
        self
    }

    /// The settings of the stream, to make the same one elsewhere.
    #[must_use]
    pub fn stream(&self, name: &str) -> stream::Config {
        stream::Config {
            name: name.to_owned(),
            subjects: self.subjects.clone(),
            storage: StorageType::File,
            num_replicas: self.replicas,
            ..stream::Config::default()
        }
    }

    /// The settings of the consumer, to make the same one elsewhere.
    #[must_use]
    pub fn consumer(&self, durable: &str) -> consumer::pull::Config {
        consumer::pull::Config {
            durable_name: Some(durable.to_owned()),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.ack_wait,
            max_deliver: self.max_deliver.map_or(-1, Into::into),
            max_ack_pending: self.max_ack_pending.into(),
            filter_subject: self.filter.clone().unwrap_or_default(),
            ..consumer::pull::Config::default()
        }
    }

    /// What a stream that is there lacks.
    pub(super) fn missing_subject(&self, there: &stream::Config) -> Option<&str> {
        let is_taken =
            |subject: &&String| !there.subjects.iter().any(|taken| covers(taken, subject));
        self.subjects.iter().find(is_taken).map(String::as_str)
    }

    /// What a consumer that is there has otherwise: the setting, what it is and what it should be.
    pub(super) fn difference(&self, there: &PullConsumer) -> Option<String> {
        let (is, should) = (&there.cached_info().config, self.consumer(""));
        let filter = if is.filter_subjects.is_empty() {
            is.filter_subject.clone()
        } else {
            is.filter_subjects.join(", ")
        };
        let limit = |max_deliver: i64| if max_deliver > 0 { max_deliver } else { -1 };
        let settings = [
            ("filter_subject", filter, should.filter_subject),
            (
                "ack_wait",
                format!("{:?}", is.ack_wait),
                format!("{:?}", should.ack_wait),
            ),
            (
                "max_deliver",
                limit(is.max_deliver).to_string(),
                should.max_deliver.to_string(),
            ),
            (
                "max_ack_pending",
                is.max_ack_pending.to_string(),
                should.max_ack_pending.to_string(),
            ),
        ];
        let other = settings.into_iter().find(|(_, is, should)| is != should);
        other.map(|(name, is, should)| format!("its `{name}` is `{is}` and not `{should}`"))
    }
}
