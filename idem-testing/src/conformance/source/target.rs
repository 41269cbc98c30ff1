//! What the suite must know of a broker whose deliveries a consumer takes.

use std::fmt;
use std::future::{Future, ready};
use std::time::Duration;

use idem_runtime::{Message, Source, cloud_events};

use crate::conformance::target::Unsupported;

/// A broker, with a way to put messages into it, to ask it and to break it.
pub trait SourceTarget: Send + Sync + 'static {
    /// What is checked.
    type Source: Source;

    /// What the broker and its source can do. Cases that need more are left out.
    fn capabilities(&self) -> Capabilities;

    /// Makes an empty queue, topic or stream of this name. The names are letters, digits and
    /// hyphens.
    fn create(&self, queue: &str) -> impl Future<Output = ()> + Send;

    /// A source that takes from this queue, with your defaults and short deadlines; another one for
    /// each instance of a consumer. It is called on the runtime that the instance has for itself.
    fn source(&self, queue: &str) -> impl Future<Output = Self::Source> + Send;

    /// Puts messages into the queue, in this order. Returns once the broker keeps them.
    fn send(&self, queue: &str, messages: Vec<WireMessage>) -> impl Future<Output = ()> + Send;

    /// Asks the broker how many messages of the queue it keeps.
    fn kept(&self, queue: &str) -> impl Future<Output = Kept> + Send;

    /// Cuts every connection between the source and the broker, at once. They can be made again.
    fn cut_connections(&self) -> impl Future<Output = Result<(), Unsupported>> + Send {
        ready(Err(Unsupported("the target cuts no connections")))
    }

    /// Ends the broker as a crash does, and starts it again, at the same address. It keeps what it
    /// has confirmed. Called if [`Capabilities::restart`] says that it can be.
    fn restart(&self) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// How long one case may take; two minutes unless said otherwise.
    fn time_limit(&self) -> Duration {
        Duration::from_mins(2)
    }
}

/// What a broker and its source can do, and why they can't.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Capabilities {
    /// It can be killed and started again. Where it can't, every connection is cut in place of that.
    pub restart: Result<(), Unsupported>,
    /// It moves parts of the queue from one instance to another.
    pub rebalance: Result<(), Unsupported>,
    /// It keeps the order of a key over several instances, because it gives a key to one of them at
    /// a time.
    pub ordered: Result<(), Unsupported>,
    /// What is given back comes again after its time, and not before.
    pub delayed: Result<(), Unsupported>,
    /// It says how often a message was handed out.
    pub counts: Result<(), Unsupported>,
    /// How long a delivery is left to a consumer that neither settles nor extends it, or does not
    /// answer: a lease, an `ack_wait`, a heartbeat. `None`: until its connection ends.
    pub deadline: Option<Duration>,
    /// How many messages the source takes before the consumer has asked for them, at most.
    pub prefetch: usize,
}

impl Capabilities {
    /// Nothing, for this reason; a source that takes this many messages in advance.
    pub const fn none(reason: &'static str, prefetch: usize) -> Self {
        let no = Err(Unsupported(reason));
        Self {
            restart: no,
            rebalance: no,
            ordered: no,
            delayed: no,
            counts: no,
            deadline: None,
            prefetch,
        }
    }
}

/// How many messages of a queue a broker keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Those that nobody has.
    pub waiting: usize,
    /// Those that were handed out and are not settled.
    pub handed_out: usize,
}

impl Kept {
    /// All.
    pub const fn total(self) -> usize {
        self.waiting + self.handed_out
    }
}

/// A message as it is put into a broker: what
/// [`Incoming::from_attributes`](idem_runtime::Incoming::from_attributes) is to be given when it
/// comes out. Not each of them is a sound event.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WireMessage {
    /// The ordering key, for a broker that has a place for it. It is an attribute, too.
    pub key: Option<String>,
    /// Names without the protocol's prefix, and values.
    pub attributes: Vec<(String, String)>,
    /// The media type of the body.
    pub content_type: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl WireMessage {
    pub(super) fn new(message: &Message) -> Self {
        Self {
            key: message.key.clone(),
            attributes: cloud_events::to_attributes(message),
            content_type: Some(message.content_type.clone()),
            body: message.payload.clone(),
        }
    }

    pub(super) fn set(mut self, attribute: &str, value: Option<&str>) -> Self {
        self.attributes.retain(|(name, _)| name != attribute);
        let value = value.map(|value| (attribute.to_owned(), value.to_owned()));
        self.attributes.extend(value);
        self
    }
}

impl fmt::Debug for WireMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireMessage")
            .field("attributes", &self.attributes)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
