//! What is to be written, until it is.

use crate::relay::lanes::Left;
use crate::store::{FailedAttempt, NewDeadLetter};
use std::sync::Arc;

/// How much one statement settles at most.
pub(crate) const MOST: usize = 5_000;

/// What is to be written. It is kept until the database has it: an event that was confirmed is not
/// published again by this relay, whatever the database says.
#[derive(Debug, Default)]
pub(crate) struct Settling {
    pub(crate) batch: Batch,
    pub(crate) is_running: bool,
    /// How often in a row it could not be written.
    pub(crate) failures: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) confirmed: Vec<Left>,
    pub(crate) failed: Vec<FailedAttempt>,
    pub(crate) dead: Vec<Burial>,
}

#[derive(Debug)]
pub(crate) struct Burial {
    pub(crate) letter: NewDeadLetter,
    pub(crate) topic: Arc<str>,
    /// Whether its queue waits until it is written.
    pub(crate) holds_queue: bool,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.confirmed.is_empty() && self.failed.is_empty() && self.dead.is_empty()
    }
}

impl Settling {
    pub(crate) fn is_idle(&self) -> bool {
        !self.is_running && self.batch.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.batch.confirmed.len() + self.batch.dead.len()
    }

    pub(crate) fn confirm(&mut self, left: Left) {
        self.batch.confirmed.push(left);
    }

    pub(crate) fn fail(&mut self, attempt: FailedAttempt) {
        self.batch.failed.push(attempt);
    }

    pub(crate) fn bury(&mut self, letter: NewDeadLetter, topic: Arc<str>, holds_queue: bool) {
        self.batch.dead.push(Burial {
            letter,
            topic,
            holds_queue,
        });
    }
}
