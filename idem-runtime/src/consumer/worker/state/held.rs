//! A delivery in hand.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::source::Partition;
use crate::store::MessageId;

pub(crate) struct Held<D> {
    /// Shared while it is decoded or extended.
    pub(crate) delivery: Arc<D>,
    pub(crate) message: MessageId,
    pub(crate) partition: Partition,
    pub(crate) size: usize,
    /// How often the broker has handed it out.
    pub(crate) count: Option<u32>,
    /// When the broker takes it back.
    pub(crate) deadline: Option<Instant>,
    /// When to extend it.
    pub(crate) extend_at: Option<Instant>,
    pub(crate) warn_at: Option<Instant>,
    pub(crate) extending: Extending,
    /// Whether its attempt is counted before it runs.
    pub(crate) counts_first: bool,
    /// The number of this attempt, if it was counted before.
    pub(crate) counted: Option<u32>,
    /// How many attempts are known to have failed.
    pub(crate) failures: u32,
    /// How often it ended without an attempt.
    pub(crate) uncounted: u32,
    /// Whether the database may hold attempts of it.
    pub(crate) has_attempts: bool,
    pub(crate) run: Option<AbortHandle>,
    pub(crate) company: Company,
    /// Why it is being given up.
    pub(crate) reason: Option<String>,
    /// How often its dead letter was refused.
    pub(crate) refused: u32,
    /// The broker took its partition away: it is not tried again here.
    pub(crate) is_revoked: bool,
}

impl<D> Held<D> {
    /// The number of the attempt that is about to be made.
    pub(crate) fn attempt(&self) -> u32 {
        self.counted.unwrap_or(self.failures + 1)
    }
}

/// With whom it is handled in one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Company {
    Others,
    /// It failed: its neighbours are not tried with it again.
    Nobody,
}

/// Whether its deadline is being extended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Extending {
    #[default]
    No,
    Now,
    ThenSettle(Settlement),
}

/// What to say to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Settlement {
    Ack,
    GiveBack(Duration),
    Reject(String),
}
