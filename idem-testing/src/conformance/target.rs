//! What the suite must know of a broker.

use std::future::{Future, ready};
use std::time::Duration;

use idem_runtime::{EventId, Message, Publisher};

/// A broker, an endpoint or a file, with a way to publish to it and a way to read what arrived.
pub trait PublishTarget: Send + Sync {
    /// What is checked.
    type Publisher: Publisher;

    /// A publisher that sends to this target, with your defaults; a new one for each case.
    fn publisher(&self) -> impl Future<Output = Self::Publisher> + Send;

    /// What arrived since the last call, in the order of arrival, duplicates included: of each key
    /// the order in which a consumer gets it. May return before everything is there, since it is
    /// called again, and may panic.
    ///
    /// Read it as a consumer would, and decode it by
    /// [`cloud_events`](idem_runtime::cloud_events).
    fn received(&self) -> impl Future<Output = Vec<Message>> + Send;

    /// Breaks the broker in this way, from now on and until [`restore`](Self::restore).
    ///
    /// Without it these cases are left out.
    fn inject(&self, fault: BrokerFault) -> impl Future<Output = Result<(), Unsupported>> + Send {
        let _ = fault;
        ready(Err(Unsupported("the target injects no faults")))
    }

    /// Ends every fault. The broker may have restarted, but has lost nothing that it confirmed.
    fn restore(&self) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// A topic that can be published to.
    fn topic(&self) -> String {
        "idem.conformance".into()
    }

    /// Why such a message can't be carried, if it can't. Then its case is left out.
    fn cannot_carry(&self, oddity: Oddity) -> Option<&'static str> {
        let _ = oddity;
        None
    }

    /// How long one case may take; two minutes unless said otherwise.
    fn time_limit(&self) -> Duration {
        Duration::from_mins(2)
    }
}

/// How a broker fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokerFault {
    /// It is gone: no connection can be made, and those that are open are cut. Nothing is taken once
    /// [`inject`](PublishTarget::inject) has returned.
    Down,
    /// The message with this ID gets no answer. It may have been taken. Others are confirmed.
    Hang(EventId),
    /// The message with this ID is refused, for a reason that concerns it alone. Others are
    /// confirmed.
    Refuse(EventId),
}

/// A message that not every broker can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Oddity {
    /// A topic with letters beyond ASCII, spaces and quotes.
    UnicodeTopic,
    /// An ordering key of that kind.
    UnicodeKey,
    /// A header's value of that kind, with line ends.
    UnicodeHeader,
    /// An ordering key that is empty. It may arrive as none.
    EmptyKey,
    /// No payload.
    EmptyPayload,
    /// A payload that is not text, and says so.
    BinaryPayload,
    /// A payload of 1 MiB.
    LargePayload,
}

/// Why a target can't do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsupported(pub &'static str);
