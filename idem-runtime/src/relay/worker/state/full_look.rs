//! How far a full look has come.

use std::collections::HashSet;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// How many numbers one statement of a full look reads.
pub(crate) const PAGE: u32 = 10_000;

/// Full looks take at most this part of the time: one in 20.
pub(crate) const SHARE: u32 = 20;

/// And comes no sooner than this after the last one.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// The full look that runs, or the last one.
#[derive(Debug)]
pub(crate) struct FullLook {
    pub(crate) next: Instant,
    pub(crate) begun: Instant,
    pub(crate) is_running: bool,
    /// An answer of an earlier generation is dropped: the shards have changed since it was asked
    /// for.
    pub(crate) generation: u64,
    pub(crate) after: i64,
    pub(crate) up_to: i64,
    /// What was settled since it began.
    pub(crate) settled: HashSet<Uuid>,
    pub(crate) surprises: u64,
}

impl FullLook {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            next: now + PAUSE,
            begun: now,
            is_running: false,
            generation: 0,
            after: 0,
            up_to: 0,
            settled: HashSet::new(),
            surprises: 0,
        }
    }

    /// Other shards are this relay's now.
    pub(crate) fn cancel(&mut self) {
        self.generation += 1;
        self.is_running = false;
    }

    /// An event was deleted.
    pub(crate) fn settled(&mut self, id: Uuid) {
        if self.is_running {
            self.settled.insert(id);
        }
    }
}
