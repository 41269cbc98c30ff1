//! What is done, written for many messages at once.
//!
//! Statements of an inbox run one at a time. Whoever has the turn writes for all that wait.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::shared::Shared;
use crate::source::SettleError;
use crate::store::InboxStore;
use crate::telemetry::Redacted;

/// How many messages one statement names at most.
const MOST: usize = 500;

type Answer = Result<(), SettleError>;

/// Messages that are done and not written as such.
#[derive(Debug, Default)]
pub(super) struct Acks(Mutex<Vec<Ack>>);

#[derive(Debug)]
struct Ack {
    seq: i64,
    /// Whose the lease is.
    owner: Uuid,
    told: oneshot::Sender<Answer>,
}

impl Acks {
    fn add(&self, seq: i64, owner: Uuid) -> oneshot::Receiver<Answer> {
        let (told, answer) = oneshot::channel();
        self.all().push(Ack { seq, owner, told });
        answer
    }

    /// The oldest ones of this owner.
    fn take(&self, owner: Uuid) -> Vec<Ack> {
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

impl<DB: InboxStore> Shared<DB> {
    /// Writes that a message is done, or waits until somebody else has.
    pub(super) async fn mark_done(&self, seq: i64, owner: Uuid) -> Answer {
        let mut answer = self.acks.add(seq, owner);
        let turn = tokio::select! {
            biased;
            told = &mut answer => return told.unwrap_or_else(|_| interrupted()),
            turn = self.statements.acquire() => turn,
        };
        loop {
            let acks = self.acks.take(owner);
            // Who had the turn before has written it, or was dropped over it.
            if acks.is_empty() {
                drop(turn);
                return answer.await.unwrap_or_else(|_| interrupted());
            }
            let seqs: Vec<_> = acks.iter().map(|ack| ack.seq).collect();
            let done = self.run_now(|conn, home, _| {
                let seqs = seqs.clone();
                Box::pin(async move { DB::mark_done(conn, home, &seqs, owner).await })
            });
            let done = done.await;
            for ack in acks {
                // Nobody waits for one whose consumer was dropped.
                let _ = ack.told.send(match &done {
                    Ok(done) if done.contains(&ack.seq) => Ok(()),
                    Ok(_) => Err(SettleError::lost(
                        "its lease had ended, and somebody else has it",
                    )),
                    Err(error) => Err(SettleError::unconfirmed(Redacted(error).to_string())),
                });
            }
            if let Ok(told) = answer.try_recv() {
                return told;
            }
        }
    }
}

fn interrupted() -> Answer {
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
