//! Messages of a stream.

mod buffer;
mod delivery;
mod durable;
mod in_hand;
mod lease;
mod limits;
mod link;
mod pull;
mod pump;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use idem_runtime::{Arrival, Source, SourceError};
use tokio::sync::{Mutex, watch};

use self::buffer::End;
pub use self::delivery::NatsDelivery;
pub use self::durable::DurableConsumer;
use self::in_hand::InHand;
use self::limits::Limits;
use self::link::Link;
use crate::connector::Connector;
use crate::error::NatsError;
use crate::subject::name;

/// Takes the messages of one durable pull consumer of a stream.
///
/// ```
/// use idem_nats::{DurableConsumer, NatsError, NatsSource};
///
/// # fn main() -> Result<(), NatsError> {
/// let source = NatsSource::new("nats://127.0.0.1:4222", "EVENTS", "ledger")?
///     .prefetch(200)
///     .declare(DurableConsumer::new(["payments.>"])?.filter("payments.captured")?);
/// # Ok(())
/// # }
/// ```
///
/// All instances that name the same durable share its messages.
///
/// # What it reads
///
/// CloudEvents in binary mode (headers `ce-...`) and in structured mode (`Content-Type:
/// application/cloudevents+json`). Of any other message the ID is the header `Nats-Msg-Id`, and
/// headers are headers: route it by [`Consumer::on_type`](idem_runtime::Consumer::on_type) after
/// your own producer has set the type.
///
/// # Deadlines
///
/// A delivery is this consumer's for `ack_wait`, 30 s by default, from each time that it was handed
/// out or extended. The consumer extends it while it runs or waits, the source while it waits to be
/// handed out, both without an end. A connection that is lost and made again within `ack_wait` loses
/// no delivery.
pub struct NatsSource {
    connector: Connector,
    stream: String,
    durable: String,
    limits: Limits,
    declare: Option<DurableConsumer>,
    /// Zero: there is none, or it is not known yet.
    delivery_limit: AtomicU32,
    in_hand: Arc<InHand>,
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

impl NatsSource {
    /// From this stream and durable consumer of the servers at this URL; see [`Connector::url`].
    ///
    /// # Errors
    /// [`NatsError::Url`], [`NatsError::Name`].
    pub fn new(url: &str, stream: &str, durable: &str) -> Result<Self, NatsError> {
        Self::with(Connector::url(url)?, stream, durable)
    }

    /// By a [`Connector`], your own [`Client`](async_nats::Client), or a
    /// [`Context`](async_nats::jetstream::Context) of JetStream.
    ///
    /// # Errors
    /// [`NatsError::Name`].
    pub fn with(
        connector: impl Into<Connector>,
        stream: &str,
        durable: &str,
    ) -> Result<Self, NatsError> {
        Ok(Self {
            connector: connector.into(),
            stream: name(stream)?,
            durable: name(durable)?,
            limits: Limits {
                messages: 100,
                bytes: 16 * 1024 * 1024,
            },
            declare: None,
            delivery_limit: AtomicU32::new(0),
            in_hand: Arc::default(),
            stopped: watch::Sender::new(false),
            state: Mutex::default(),
        })
    }

    /// How many messages are taken before the consumer asks for them; 100 unless said otherwise.
    /// Those that it has asked for are bounded by
    /// [`in_hand`](idem_runtime::Consumer::in_hand), and all of them, over all instances, by
    /// `max_ack_pending` of the durable consumer, 1,000 by default.
    #[must_use]
    pub fn prefetch(mut self, messages: usize) -> Self {
        self.limits.messages = messages.max(1);
        self
    }

    /// The same in bytes; 16 MiB unless said otherwise. A message that is larger comes alone.
    #[must_use]
    pub fn prefetch_bytes(mut self, bytes: usize) -> Self {
        self.limits.bytes = bytes.max(1);
        self
    }

    /// Makes the stream and the durable consumer if they are not there. Those that are must agree
    /// with it. Without this both must be there.
    #[must_use]
    pub fn declare(mut self, consumer: DurableConsumer) -> Self {
        self.declare = Some(consumer);
        self
    }

    async fn connect(&self, state: &mut State) -> Result<(), SourceError> {
        let link = Link::new(
            &self.connector,
            (&self.stream, &self.durable),
            self.declare.as_ref(),
            self.limits,
            (&self.in_hand, &self.stopped),
        );
        match link.await {
            Ok(link) => {
                self.delivery_limit
                    .store(link.delivery_limit(), Ordering::Relaxed);
                state.link = Some(link);
                state.was_connected = true;
                Ok(())
            }
            Err(error) if error.is_refusal && !state.was_connected => {
                Err(SourceError::permanent(error.reason))
            }
            Err(error) => Err(SourceError::unavailable(error.reason)),
        }
    }
}

impl Source for NatsSource {
    type Delivery = NatsDelivery;

    async fn receive(&self) -> Option<Result<Arrival<NatsDelivery>, SourceError>> {
        let mut stopped = self.stopped.subscribe();
        let mut state = self.state.lock().await;
        let state = &mut *state;
        loop {
            let Some(link) = &state.link else {
                // What is begun is dropped, and leaves nothing behind.
                tokio::select! {
                    biased;
                    _ = stopped.wait_for(|stopped| *stopped) => return None,
                    connected = self.connect(state) => match connected {
                        Ok(()) => continue,
                        Err(error) => return Some(Err(error)),
                    },
                }
            };
            match link.next().await {
                Ok(delivery) => return Some(Ok(Arrival::Delivery(delivery))),
                Err(End::Stopped) => return None,
                Err(End::Failed(why)) => {
                    state.link = None;
                    if *stopped.borrow() {
                        return None;
                    }
                    return Some(Err(SourceError::unavailable(format!(
                        "NATS delivers no more from the consumer `{}` of the stream `{}`, and is asked again; what is in hand can \
                         still be settled within its `ack_wait`: {why}",
                        self.durable, self.stream
                    ))));
                }
            }
        }
    }

    fn stop(&self) {
        self.stopped.send_replace(true);
    }

    fn system(&self) -> &'static str {
        "nats"
    }

    fn delivery_limit(&self) -> Option<u32> {
        let limit = self.delivery_limit.load(Ordering::Relaxed);
        (limit > 0).then_some(limit)
    }
}

impl fmt::Debug for NatsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsSource")
            .field("stream", &self.stream)
            .field("durable", &self.durable)
            .field("limits", &self.limits)
            .field("declare", &self.declare)
            .finish_non_exhaustive()
    }
}
