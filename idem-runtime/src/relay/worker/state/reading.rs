//! What a relay has read, and when it reads again.

use super::full_look::FullLook;
use crate::relay::cursor::Cursor;
use crate::relay::lanes::Amount;
use crate::shard::ShardSet;
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::time::Instant;

/// How soon a look follows one that found something, so that more can come in between. Looks take a
/// fifth of the time at most, and leave a busy database to the handlers that fill the outbox.
const SPACING: RangeInclusive<Duration> = Duration::from_millis(2)..=Duration::from_millis(10);
const SHARE: u32 = 5;

/// How many events are in the queues at most, in memory or as a number alone. Beyond that no more
/// are read until some are published or given up.
pub(crate) const MOST_HELD: usize = 1_000_000;

#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) cursor: Cursor,
    /// Events up to this number may have failed before.
    pub(crate) attempts_up_to: i64,
    pub(crate) next_look: Instant,
    pub(crate) look: Looking,
    /// A look of an earlier generation is dropped: it began before the last restart.
    pub(crate) generation: u64,
    pub(crate) looked_at: Instant,
    /// How long the last look took.
    pub(crate) took: Duration,
    /// What was read and is not in the queues yet.
    pub(crate) arriving: Amount,
    pub(crate) is_rereading: bool,
    pub(crate) full: FullLook,
    /// What a job knows of the end of its work.
    pub(crate) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looking {
    Not,
    Now,
    /// Something was committed while the look was running.
    NowAndAgain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Unknown,
    /// The last look found nothing.
    Near,
    Asking,
    /// Nothing was left.
    Reached,
}

impl Default for Reading {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            cursor: Cursor::default(),
            attempts_up_to: 0,
            next_look: now,
            look: Looking::Not,
            generation: 0,
            looked_at: now,
            took: Duration::ZERO,
            arriving: Amount::default(),
            is_rereading: false,
            full: FullLook::new(now),
            end: End::Unknown,
        }
    }
}

impl Reading {
    pub(crate) fn next_look(&self) -> Option<Instant> {
        (self.look == Looking::Not).then_some(self.next_look)
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.end == End::Reached
    }

    /// When the next look may begin, if the last one read all that was there.
    pub(crate) fn soon(&self) -> Instant {
        self.looked_at + (self.took * SHARE).clamp(*SPACING.start(), *SPACING.end())
    }

    /// There may be new events.
    pub(crate) fn wake(&mut self, now: Instant) {
        if self.look == Looking::Not {
            self.next_look = self.next_look.min(now.max(self.soon()));
        } else {
            self.look = Looking::NowAndAgain;
        }
    }

    /// Reads from the start what this relay has got. What it knows already is skipped.
    pub(crate) fn shards_changed(&mut self, before: ShardSet, after: ShardSet) {
        if before == after {
            return;
        }
        self.full.cancel();
        if self.end == End::Reached {
            self.end = End::Unknown;
        }
        if !after.without(before).is_empty() {
            self.restart();
        }
    }

    pub(crate) fn restart(&mut self) {
        self.attempts_up_to = i64::MAX;
        self.generation += 1;
        self.cursor.restart();
        self.next_look = Instant::now();
    }
}
