//! A message of a stream, until it is settled.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use idem_runtime::{Delivery, Incoming, SettleError};

use super::in_hand::Place;
use super::lease::Lease;

/// A message of a [`NatsSource`](crate::NatsSource).
pub struct NatsDelivery {
    incoming: Incoming,
    lease: Arc<Lease>,
    place: Place,
}

impl NatsDelivery {
    pub(super) fn new(incoming: Incoming, lease: Lease, place: Place) -> Self {
        Self {
            incoming,
            lease: Arc::new(lease),
            place,
        }
    }

    /// Fails if it was handed out again.
    fn check_newest(&self) -> Result<(), SettleError> {
        if self.place.is_newest() {
            return Ok(());
        }
        Err(SettleError::lost(
            "NATS has handed it out again, to this consumer",
        ))
    }

    /// Fails if it may be somebody else's.
    fn check_own(&self) -> Result<(), SettleError> {
        self.check_newest()?;
        self.lease.check()
    }

    /// Whether it need not come again.
    pub(super) fn is_own(&self) -> bool {
        self.check_own().is_ok()
    }

    /// For one that waits to be handed out: keeps it for longer, once a third of its time has passed.
    pub(super) fn extend_if_due(&self) {
        if self.is_own() && self.lease.begin_to_extend() {
            let lease = Arc::clone(&self.lease);
            // Ends with its answer, or with the time for it. What was not extended is not handed out.
            tokio::spawn(async move {
                if let Err(error) = lease.extend().await {
                    tracing::debug!(%error, "a message that waits to be handed out was not extended");
                }
            });
        }
    }
}

impl Delivery for NatsDelivery {
    fn incoming(&self) -> &Incoming {
        &self.incoming
    }

    fn time_left(&self) -> Option<Duration> {
        Some(self.lease.time_left())
    }

    /// Also after its time: the effect is committed, and nobody else need do it again.
    async fn ack(self) -> Result<(), SettleError> {
        self.check_newest()?;
        self.lease.tell("+ACK", true).await
    }

    async fn give_back(self, after: Duration) -> Result<(), SettleError> {
        self.check_own()?;
        let what = match after.as_nanos() {
            0 => "-NAK".into(),
            nanos => format!("-NAK {{\"delay\":{nanos}}}"),
        };
        // Told twice, it would take the message from who has got it meanwhile.
        self.lease.tell(&what, false).await
    }

    /// It stays in the stream, and is not delivered to this durable consumer again. The reason is in
    /// the server's advisory, from NATS 2.11 on.
    async fn reject(self, reason: &str) -> Result<(), SettleError> {
        self.check_own()?;
        let what = self.lease.termination(reason);
        self.lease.tell(&what, true).await
    }

    async fn extend(&self) -> Result<Option<Duration>, SettleError> {
        self.check_own()?;
        self.lease.extend().await?;
        Ok(Some(self.lease.time_left()))
    }
}

/// Shows what [`Incoming`] does.
impl fmt::Debug for NatsDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsDelivery")
            .field("incoming", &self.incoming)
            .finish_non_exhaustive()
    }
}
