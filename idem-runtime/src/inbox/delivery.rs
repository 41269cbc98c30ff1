//! A message that was taken out of an inbox.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::kept::incoming;
use super::shared::Shared;
use crate::source::{Delivery, Incoming, SettleError};
use crate::store::{InboxStore, PARKED, TakenMessage};
use crate::telemetry::Redacted;

/// A message of an [`Inbox`](crate::Inbox).
#[derive(Debug)]
pub struct InboxDelivery<DB: InboxStore> {
    shared: Arc<Shared<DB>>,
    /// Whose the lease is.
    owner: Uuid,
    seq: i64,
    incoming: Incoming,
    /// The end of its lease.
    until: Instant,
}

impl<DB: InboxStore> InboxDelivery<DB> {
    pub(super) fn new(
        shared: Arc<Shared<DB>>,
        owner: Uuid,
        message: TakenMessage,
        until: Instant,
    ) -> Self {
        let mut incoming = incoming(message.kept);
        incoming.count = Some(message.taken);
        // What was put aside has attempts, or was behind something that has.
        incoming.redelivered = message.taken > 1 || shared.origin == PARKED;
        Self {
            shared,
            owner,
            seq: message.seq,
            incoming,
            until,
        }
    }
}

fn still_ours(answer: Result<bool, sqlx::Error>) -> Result<(), SettleError> {
    match answer {
        Ok(true) => Ok(()),
        Ok(false) => Err(SettleError::lost(
            "its lease had ended, and somebody else has it",
        )),
        Err(error) => Err(SettleError::unconfirmed(Redacted(&error).to_string())),
    }
}

impl<DB: InboxStore> Delivery for InboxDelivery<DB> {
    fn incoming(&self) -> &Incoming {
        &self.incoming
    }

    fn time_left(&self) -> Option<Duration> {
        Some(self.until.saturating_duration_since(Instant::now()))
    }

    async fn ack(self) -> Result<(), SettleError> {
        let done = self.shared.mark_done(self.seq, self.owner).await;
        // What came after it may have waited for that.
        self.shared.stored.notify_one();
        done
    }

    async fn give_back(self, after: Duration) -> Result<(), SettleError> {
        let (seq, owner) = (self.seq, self.owner);
        let released = self.shared.run(|conn, home, _| {
            Box::pin(async move { DB::release(conn, home, seq, owner, after).await })
        });
        still_ours(released.await)
    }

    /// It is handed out no more. Its row in `idem_inbox` keeps the message until
    /// [`purge`](crate::purge) deletes it, more than 4 days later.
    async fn reject(self, _reason: &str) -> Result<(), SettleError> {
        let (seq, owner) = (self.seq, self.owner);
        let rejected = self
            .shared
            .run(|conn, home, _| Box::pin(async move { DB::reject(conn, home, seq, owner).await }));
        let rejected = still_ours(rejected.await);
        // What came after it may have waited for that.
        self.shared.stored.notify_one();
        rejected
    }

    async fn extend(&self) -> Result<Option<Duration>, SettleError> {
        let (seq, owner, lease) = (self.seq, self.owner, self.shared.lease);
        let renewed = self.shared.run(|conn, home, _| {
            Box::pin(async move { DB::renew(conn, home, seq, owner, lease).await })
        });
        still_ours(renewed.await).map(|()| Some(lease))
    }
}
