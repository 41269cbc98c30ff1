//! What is done, written for many messages at once.
//!
//! Statements of an inbox run one at a time. Whoever has the turn writes for all that wait.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use uuid::Uuid;

use crate::source::SettleError;

/// How many messages one statement names at most.
const MOST: usize = 500;

pub(super) type Answer = Result<(), SettleError>;

/// Messages that are done and not written as such.
#[derive(Debug, Default)]
pub(super) struct Acks(Mutex<Vec<Ack>>);

#[derive(Debug)]
pub(super) struct Ack {
    pub(super) seq: i64,
    /// Whose the lease is.
    owner: Uuid,
    pub(super) told: oneshot::Sender<Answer>,
}

impl Acks {
    /// Adds one; what is said of it comes through the receiver.
    pub(super) fn add(&self, seq: i64, owner: Uuid) -> oneshot::Receiver<Answer> {
        let (told, answer) = oneshot::channel();
        self.all().push(Ack { seq, owner, told });
        answer
    }

    /// The oldest ones of this owner.
    pub(super) fn take(&self, owner: Uuid) -> Vec<Ack> {
        let mut all = self.all();
        let mut left = MOST;
        let of_owner = all.extract_if(.., |ack| {
            let takes = left > 0 && ack.owner == owner;
            left -= usize::from(takes);
            takes
        });
        of_owner.collect()
    }

    fn all(&self) -> MutexGuard<'_, Vec<Ack>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever was to write it was dropped.
pub(super) fn interrupted() -> Answer {
    Err(SettleError::unconfirmed(
        "the statement that was to say so was interrupted",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_statement_takes_the_oldest_of_one_owner_up_to_its_limit() {
        let (acks, owner, other) = (Acks::default(), Uuid::from_u128(1), Uuid::from_u128(2));
        let count = i64::try_from(MOST).unwrap() + 3;
        let _answers: Vec<_> = (0..count).map(|seq| acks.add(seq, owner)).collect();
        let _answer = acks.add(count, other);
        let seqs = |owner| -> Vec<_> { acks.take(owner).iter().map(|ack| ack.seq).collect() };
        assert_eq!(seqs(owner), (0..count - 3).collect::<Vec<_>>());
        assert_eq!(seqs(owner), [count - 3, count - 2, count - 1]);
        assert!(seqs(owner).is_empty());
        assert_eq!(seqs(other), [count]);
    }
}
