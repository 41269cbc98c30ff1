//! A delivery in hand.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::source::Partition;
use crate::store::MessageId;

pub(in crate::consumer::worker) struct Held<D> {
    /// Shared while it is decoded or extended.
    pub(in crate::consumer::worker) delivery: Arc<D>,
    pub(in crate::consumer::worker) message: MessageId,
    pub(in crate::consumer::worker) partition: Partition,
    pub(in crate::consumer::worker) size: usize,
    /// How often the broker has handed it out.
    pub(in crate::consumer::worker) count: Option<u32>,
    /// When the broker takes it back.
    pub(in crate::consumer::worker) deadline: Option<Instant>,
    /// When to extend it.
    pub(in crate::consumer::worker) extend_at: Option<Instant>,
    pub(in crate::consumer::worker) warn_at: Option<Instant>,
    pub(in crate::consumer::worker) extending: Extending,
    /// Whether its attempt is counted before it runs.
    pub(in crate::consumer::worker) counts_first: bool,
    /// The number of this attempt, if it was counted before.
    pub(in crate::consumer::worker) counted: Option<u32>,
    /// How many attempts are known to have failed.
    pub(in crate::consumer::worker) failures: u32,
    /// How often it ended without an attempt.
    pub(in crate::consumer::worker) uncounted: u32,
    /// Whether the database may hold attempts of it.
    pub(in crate::consumer::worker) has_attempts: bool,
    pub(in crate::consumer::worker) run: Option<AbortHandle>,
    /// Why it is being given up.
    pub(in crate::consumer::worker) reason: Option<String>,
    /// How often its dead letter was refused.
    pub(in crate::consumer::worker) refused: u32,
    /// The broker took its partition away: it is not tried again here.
    pub(in crate::consumer::worker) is_revoked: bool,
}

/// Whether its deadline is being extended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::consumer::worker) enum Extending {
    #[default]
    No,
    Now,
    ThenSettle(Settlement),
}

/// What to say to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::consumer::worker) enum Settlement {
    Ack,
    GiveBack(Duration),
    Reject(String),
}
