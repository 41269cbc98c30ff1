//! A message that was taken out of an inbox.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::hands::{Hands, Run};
use super::kept::incoming;
use super::shared::Shared;
use crate::source::{Delivery, Incoming, SettleError};
use crate::store::{InboxStore, Lane, PARKED, TakenMessage};
use crate::telemetry::Redacted;

/// A message of an [`Inbox`](crate::Inbox).
#[derive(Debug)]
pub struct InboxDelivery<DB: InboxStore> {
    shared: Arc<Shared<DB>>,
    hands: Arc<Hands>,
    seq: i64,
    lane: Option<Lane>,
    incoming: Incoming,
    /// The end of its lease.
    until: Instant,
    /// What was taken with it and comes next of its key. It is handed out once this one was
    /// acknowledged, and put back if it goes back.
    behind: Mutex<VecDeque<TakenMessage>>,
}

/// Nobody has said what became of it. Those behind it are not handed out here.
impl<DB: InboxStore> Drop for InboxDelivery<DB> {
    fn drop(&mut self) {
        let behind = self.take_behind();
        if !behind.is_empty() {
            self.hands.abandon(&behind);
        }
    }
}

impl<DB: InboxStore> InboxDelivery<DB> {
    /// The first of these. None: there is none.
    pub(super) fn first_of(
        shared: &Arc<Shared<DB>>,
        hands: &Arc<Hands>,
        mut run: Run,
    ) -> Option<Self> {
        let message = run.messages.pop_front()?;
        let lane = message.lane();
        let mut incoming = incoming(message.kept);
        incoming.count = Some(message.taken);
        // What was put aside has attempts, or was behind something that has.
        incoming.redelivered = message.taken > 1 || shared.origin == PARKED;
        Some(Self {
            shared: Arc::clone(shared),
            hands: Arc::clone(hands),
            seq: message.seq,
            lane,
            incoming,
            until: run.until,
            behind: Mutex::new(run.messages),
        })
    }

    fn owner(&self) -> Uuid {
        self.hands.owner
    }

    fn take_behind(&self) -> VecDeque<TakenMessage> {
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        mem::take(&mut behind)
    }

    /// It was handled: what comes next can be handed out. The answer is for [`gone`](Self::gone).
    fn go_on(&self) -> Next {
        let messages = self.take_behind();
        let is_last = messages.is_empty();
        let until = self.until;
        Next {
            is_last,
            left: self.hands.go_on(Run { until, messages }),
        }
    }

    /// It is written that it was handled.
    async fn gone(&self, next: Next) {
        if next.is_last {
            // What came after it may have waited for that.
            if let Some(lane) = self.lane {
                self.hands.ended(lane);
            }
        }
        self.shared.put_back(next.left, self.owner()).await;
    }

    /// What is behind it can be had by others.
    async fn leave_behind(&self) {
        let behind = self.take_behind();
        if !behind.is_empty() {
            let seqs = self.hands.give_up(&behind);
            self.shared.put_back(seqs, self.owner()).await;
        }
    }
}

/// What comes after a message that was handled.
struct Next {
    is_last: bool,
    /// Nobody asks for these any more.
    left: Vec<i64>,
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
        let next = self.go_on();
        let done = self.shared.mark_done(self.seq, self.owner()).await;
        self.gone(next).await;
        done
    }

    async fn give_back(self, after: Duration) -> Result<(), SettleError> {
        // First, so that whoever takes this one next can have those, too.
        self.leave_behind().await;
        let (seq, owner) = (self.seq, self.owner());
        let released = self.shared.run(|conn, home, _| {
            Box::pin(async move { DB::release(conn, home, seq, owner, after).await })
        });
        still_ours(released.await)
    }

    /// It is handed out no more. Its row in `idem_inbox` keeps the message until
    /// [`purge`](crate::purge) deletes it, more than 4 days later.
    async fn reject(self, _reason: &str) -> Result<(), SettleError> {
        let (seq, owner) = (self.seq, self.owner());
        let rejected = self
            .shared
            .run(|conn, home, _| Box::pin(async move { DB::reject(conn, home, seq, owner).await }));
        let rejected = still_ours(rejected.await);
        if rejected.is_ok() {
            let next = self.go_on();
            self.gone(next).await;
        } else {
            self.leave_behind().await;
        }
        rejected
    }

    /// It takes long, so that others can have what is behind it in memory.
    async fn extend(&self) -> Result<Option<Duration>, SettleError> {
        let (seq, owner, lease) = (self.seq, self.owner(), self.shared.lease);
        let renewed = self.shared.run(|conn, home, _| {
            Box::pin(async move { DB::renew(conn, home, seq, owner, lease).await })
        });
        let renewed = still_ours(renewed.await).map(|()| Some(lease));
        self.leave_behind().await;
        renewed
    }
}
