//! One consumer's part of an inbox.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use uuid::Uuid;

use super::delivery::InboxDelivery;
use super::lanes::Lanes;
use crate::store::{InboxStore, TakenMessage};

/// How many messages are taken at once: at first, and at most. In between, as many as have this size
/// if they are like the last ones.
const FIRST_BATCH: u32 = 16;
const LARGEST_BATCH: u32 = 128;
const BATCH_BYTES: usize = 8 << 20;

#[derive(Debug)]
pub(super) struct Taker<DB: InboxStore> {
    /// Whose the leases are.
    pub(super) owner: Uuid,
    pub(super) lanes: Arc<Lanes>,
    pub(super) stopped: watch::Sender<bool>,
    /// Taken and not handed out yet.
    taken: Mutex<VecDeque<InboxDelivery<DB>>>,
    batch: AtomicU32,
}

impl<DB: InboxStore> Default for Taker<DB> {
    fn default() -> Self {
        Self {
            owner: Uuid::from_u128(rand::random()),
            lanes: Arc::default(),
            stopped: watch::Sender::new(false),
            taken: Mutex::default(),
            batch: AtomicU32::new(FIRST_BATCH),
        }
    }
}

impl<DB: InboxStore> Taker<DB> {
    pub(super) fn next(&self) -> Option<InboxDelivery<DB>> {
        self.taken().pop_front()
    }

    pub(super) fn add(&self, deliveries: impl Iterator<Item = InboxDelivery<DB>>) {
        self.taken().extend(deliveries);
    }

    /// How many messages to take now.
    pub(super) fn batch(&self) -> u32 {
        self.batch.load(Ordering::Relaxed)
    }

    /// Notes what was taken, for the size of the next batch.
    pub(super) fn took(&self, messages: &[TakenMessage]) {
        let bytes = messages.iter().map(|message| message.kept.payload.len());
        let next = next_batch(messages.len(), bytes.sum());
        self.batch.store(next, Ordering::Relaxed);
    }

    fn taken(&self) -> MutexGuard<'_, VecDeque<InboxDelivery<DB>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn next_batch(messages: usize, bytes: usize) -> u32 {
    let fit = (messages * BATCH_BYTES).checked_div(bytes);
    let fit = fit.and_then(|fit| u32::try_from(fit).ok());
    fit.unwrap_or(LARGEST_BATCH).clamp(1, LARGEST_BATCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_messages_are_taken_few_at_a_time() {
        for (messages, bytes, next) in [
            (16, 0, LARGEST_BATCH),
            (16, 16 * 100, LARGEST_BATCH),
            (16, 16 << 20, 8),
            (1, 100 << 20, 1),
        ] {
            assert_eq!(next_batch(messages, bytes), next);
        }
    }
}
