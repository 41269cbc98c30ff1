//! A message of a partition, until it is settled.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use idem_runtime::{Delivery, Incoming, Partition, SettleError};
use tokio::time::timeout;

use super::shared::Shared;

/// How long the brokers may take to confirm a commit.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(10);

/// A message of a [`KafkaSource`](crate::KafkaSource).
pub struct KafkaDelivery {
    incoming: Incoming,
    partition: Partition,
    hold: Hold,
}

/// Counts as in hand for as long as it is there.
struct Hold {
    shared: Arc<Shared>,
    assignment: u64,
    offset: i64,
}

impl KafkaDelivery {
    /// It counts as in hand already.
    pub(super) fn new(
        incoming: Incoming,
        partition: Partition,
        shared: Arc<Shared>,
        assignment: u64,
        offset: i64,
    ) -> Self {
        let hold = Hold {
            shared,
            assignment,
            offset,
        };
        Self {
            incoming,
            partition,
            hold,
        }
    }

    async fn settle(&self) -> Result<(), SettleError> {
        let hold = &self.hold;
        let settled = hold.shared.settle(hold.assignment, hold.offset);
        let Some(commit) = settled.map_err(|()| lost())? else {
            // It is committed with what is before it.
            return Ok(());
        };
        match timeout(CONFIRMED_WITHIN, commit).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(lost()),
            Err(_) => Err(SettleError::unconfirmed(format!(
                "Kafka has not confirmed the commit of its offset within {CONFIRMED_WITHIN:?}"
            ))),
        }
    }
}

fn lost() -> SettleError {
    SettleError::lost("its partition was taken away, and its next owner gets it again")
}

impl Delivery for KafkaDelivery {
    fn incoming(&self) -> &Incoming {
        &self.incoming
    }

    fn partition(&self) -> Partition {
        self.partition
    }

    /// If all messages before it in its partition are settled, it is confirmed once the offset was
    /// committed. Else it is committed with them: until then it may come again.
    async fn ack(self) -> Result<(), SettleError> {
        self.settle().await
    }

    /// Kafka takes nothing back, so the source hands it out again by itself, from memory. Once the
    /// source was asked to stop, it comes again from the partition, to its next owner.
    async fn give_back(self, after: Duration) -> Result<(), SettleError> {
        let Self { incoming, hold, .. } = self;
        let put_back = hold
            .shared
            .put_back(hold.assignment, hold.offset, incoming, after);
        put_back.map_err(|()| lost())
    }

    /// It stays in its topic for as long as the topic keeps it, and does not come again.
    async fn reject(self, reason: &str) -> Result<(), SettleError> {
        tracing::warn!(
            position = %self.incoming.position,
            reason,
            "a message of Kafka is left out, and stays in its topic"
        );
        self.settle().await
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.left_hand(self.assignment);
    }
}

/// Shows what [`Incoming`] does.
impl fmt::Debug for KafkaDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaDelivery")
            .field("incoming", &self.incoming)
            .finish_non_exhaustive()
    }
}
