//! What is done is written for many messages at once.
//!
//! Statements of an inbox run one at a time. Whoever has the turn writes for all that wait.

use uuid::Uuid;

use super::acks::Answer;
use super::shared::Shared;
use crate::source::SettleError;
use crate::store::InboxStore;
use crate::telemetry::Redacted;

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
