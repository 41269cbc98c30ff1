//! A message of a queue, until it is settled.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use idem_runtime::{Delivery, Incoming, SettleError};
use lapin::Acker;
use lapin::options::{BasicAckOptions, BasicNackOptions, BasicRejectOptions};

use super::settlements::Settlements;
use crate::error::reason;

/// A message of a [`RabbitMqSource`](crate::RabbitMqSource).
pub struct RabbitMqDelivery {
    incoming: Incoming,
    acker: Acker,
    settlements: Arc<Settlements>,
}

impl RabbitMqDelivery {
    pub(super) const fn new(
        incoming: Incoming,
        acker: Acker,
        settlements: Arc<Settlements>,
    ) -> Self {
        Self {
            incoming,
            acker,
            settlements,
        }
    }

    /// After it was sent, or could not be.
    async fn settled(&self, sent: lapin::Result<bool>) -> Result<(), SettleError> {
        match sent {
            Ok(true) => {}
            // A delivery is settled once, so it is the channel.
            Ok(false) => {
                return Err(SettleError::lost(
                    "its connection is gone, and RabbitMQ delivers it again",
                ));
            }
            Err(error) => return Err(SettleError::lost(reason(&error))),
        }
        let taken = self.settlements.taken().await;
        taken.map_err(|error| SettleError::unconfirmed(reason(&error)))
    }
}

impl Delivery for RabbitMqDelivery {
    fn incoming(&self) -> &Incoming {
        &self.incoming
    }

    async fn ack(self) -> Result<(), SettleError> {
        let sent = self.acker.ack(BasicAckOptions::default()).await;
        self.settled(sent).await
    }

    /// At once, whatever `after` is: RabbitMQ has no delay for a single message. Once the source was
    /// asked to stop, nothing is said of a single one: RabbitMQ takes back what is not settled when
    /// the connection is closed, and all of it in its order. A quorum queue puts each single message
    /// behind those that came back before it, and many at once in any order.
    async fn give_back(self, _after: Duration) -> Result<(), SettleError> {
        if self.settlements.is_stopped() {
            return Ok(());
        }
        let options = BasicNackOptions {
            multiple: false,
            requeue: true,
        };
        let sent = self.acker.nack(options).await;
        self.settled(sent).await
    }

    /// To the queue's dead letter exchange. Without one it is gone.
    async fn reject(self, _reason: &str) -> Result<(), SettleError> {
        let sent = self
            .acker
            .reject(BasicRejectOptions { requeue: false })
            .await;
        self.settled(sent).await
    }
}

/// Shows what [`Incoming`] does.
impl fmt::Debug for RabbitMqDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMqDelivery")
            .field("incoming", &self.incoming)
            .finish_non_exhaustive()
    }
}
