//! How far a relay has read.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::relay::cursor::Cursor;
use crate::shard::ShardSet;

pub(super) const SPACING: Duration = Duration::from_millis(2);
pub(super) const FULL_LOOK_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Reading {
    pub(super) cursor: Cursor,
    pub(super) attempts_up_to: i64,
    pub(super) next_look: Instant,
    pub(super) is_looking: bool,
    pub(super) looked_at: Instant,
    /// How often the cursor was restarted.
    pub(super) generation: u64,
    pub(super) is_rereading: bool,
    pub(super) full: Full,
    /// The sequence was reset, and the cursor is from before that.
    pub(super) is_from_before_reset: bool,
}

#[derive(Debug)]
pub(super) struct Full {
    pub(super) next: Instant,
    pub(super) is_running: bool,
    pub(super) generation: u64,
    pub(super) after: i64,
    pub(super) up_to: i64,
    pub(super) settled: HashSet<Uuid>,
    pub(super) surprises: u64,
}

impl Reading {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            cursor: Cursor::default(),
            attempts_up_to: 0,
            next_look: now,
            is_looking: false,
            looked_at: now,
            generation: 0,
            is_rereading: false,
            full: Full {
                next: now + FULL_LOOK_PAUSE,
                is_running: false,
                generation: 0,
                after: i64::MIN,
                up_to: 0,
                settled: HashSet::new(),
                surprises: 0,
            },
            is_from_before_reset: false,
        }
    }

    /// Somebody committed.
    pub(super) fn wake(&mut self, now: Instant) {
        if !self.is_looking {
            self.next_look = self.next_look.min(now.max(self.looked_at + SPACING));
        }
    }

    pub(super) fn sequence_was_reset(&mut self) {
        self.is_from_before_reset |= self.cursor.position() > 0 || self.is_looking;
    }

    pub(super) fn shards_changed(&mut self, before: ShardSet, after: ShardSet, now: Instant) {
        if before == after {
            return;
        }
        self.cancel_full_look();
        if !after.without(before).is_empty() {
            self.restart(now);
        }
    }

    /// What it knew of the queues is not true any more.
    pub(super) fn cancel_full_look(&mut self) {
        self.full.generation += 1;
        self.full.is_running = false;
    }

    pub(super) fn restart(&mut self, now: Instant) {
        self.attempts_up_to = i64::MAX;
        self.cursor.restart();
        self.generation += 1;
        self.next_look = now;
        self.is_from_before_reset = false;
    }

    pub(super) fn settled(&mut self, id: Uuid) {
        if self.full.is_running {
            self.full.settled.insert(id);
        }
    }
}
