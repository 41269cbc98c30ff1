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

    /// What arrived since the last call, duplicates included. Messages of one key must be in the
    /// order in which a consumer gets them. May return before everything has arrived, since it is
    /// called again. A panic here is a violation, with its message in the report.
    ///
    /// Read the messages as a consumer would, and decode them by
    /// [`cloud_events`](idem_runtime::cloud_events).
    fn received(&self) -> impl Future<Output = Vec<Message>> + Send;

    /// Breaks the broker in this way, from now on and until [`restore`](Self::restore).
    ///
    /// Without this method, the cases that need a fault are left out.
    fn inject(&self, fault: BrokerFault) -> impl Future<Output = Result<(), Unsupported>> + Send {
        let _ = fault;
        ready(Err(Unsupported("the target injects no faults")))
    }

    /// Ends every fault. The broker may have restarted, but has lost nothing that it confirmed.
    fn restore(&self) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// A topic that can be published to; `idem.conformance` unless said otherwise.
    fn topic(&self) -> String {
        "idem.conformance".into()
    }

    /// Why the broker can't carry such a message, or `None` if it can. With a reason, the case is
    /// left out and the report shows it.
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
    /// It is gone: no connection can be made, and those that are open are cut. Nothing is taken
    /// once [`inject`](PublishTarget::inject) has returned.
    Down,
    /// The message with this ID gets no answer; the broker may keep it or not. Others are
    /// confirmed.
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
    /// A header whose value is of that kind, and has line ends.
    UnicodeHeader,
    /// An ordering key that is empty. It may arrive as no key.
    EmptyKey,
    /// An empty payload.
    EmptyPayload,
    /// A payload that is not text, of the content type `application/octet-stream`.
    BinaryPayload,
    /// A payload of 1 MiB.
    LargePayload,
}

/// Why a target can't inject a fault. The report shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsupported(pub &'static str);
