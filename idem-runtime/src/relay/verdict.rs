//! What a publisher's verdicts mean for each event.

use std::collections::HashSet;
use std::time::Duration;

use rand::Rng;

use crate::message::Message;
use crate::publisher::{PublishError, Remedy};
use crate::store::{NewDeadLetter, Retry, Settlement};

/// A receiver that asks for a longer pause is asked again after this.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// How much of a reason is stored.
const LONGEST_REASON: usize = 1_000;

/// When to try again, and when to give up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) max_attempts: u32,
    pub(super) backoff: Duration,
    pub(super) backoff_cap: Duration,
}

/// The place of a message in the outbox.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) seq: i64,
    /// How often it failed before.
    pub(super) attempts: u32,
}

impl Policy {
    /// Judges one batch. Of each ordering key only what stands before its first retryable failure
    /// counts: a later message that was confirmed all the same is published again, after the one
    /// that failed.
    pub(super) fn judge(
        &self,
        messages: &[Message],
        places: &[Place],
        verdicts: Vec<Result<(), PublishError>>,
        rng: &mut impl Rng,
    ) -> Settlement {
        let mut settlement = Settlement::default();
        let mut stopped = HashSet::new();
        for ((message, place), verdict) in messages.iter().zip(places).zip(verdicts) {
            let key = message.key.as_deref();
            if key.is_some_and(|key| stopped.contains(key)) {
                continue;
            }
            let Err(error) = verdict else {
                settlement.published.push(place.seq);
                continue;
            };
            let attempts = place.attempts + 1;
            match error.remedy {
                Remedy::DeadLetter => {
                    settlement.bury(message, place, attempts, error.reason());
                    continue;
                }
                Remedy::Retry { .. } if attempts >= self.max_attempts => {
                    settlement.bury(message, place, attempts, error.reason());
                }
                Remedy::Retry { after } => {
                    let delay = self.delay(attempts, rng).max(after.min(LONGEST_PAUSE));
                    tracing::warn!(
                        messaging.message.id = %message.id,
                        messaging.destination.name = message.topic,
                        attempts,
                        retry_in_ms = delay.as_millis(),
                        reason = error.reason(),
                        "not published"
                    );
                    settlement.retries.push(Retry {
                        seq: place.seq,
                        attempts,
                        delay,
                        reason: storable(error.reason()),
                    });
                }
                Remedy::HeldBack => {}
            }
            stopped.extend(key);
        }
        settlement
    }

    /// Full jitter, as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
    fn delay(&self, attempts: u32, rng: &mut impl Rng) -> Duration {
        let ceiling = self
            .backoff
            .saturating_mul(1 << attempts.saturating_sub(1).min(30))
            .min(self.backoff_cap);
        ceiling.mul_f64(rng.random())
    }
}

impl Settlement {
    fn bury(&mut self, message: &Message, place: &Place, attempts: u32, reason: &str) {
        tracing::error!(
            messaging.message.id = %message.id,
            messaging.destination.name = message.topic,
            attempts,
            reason,
            "given up, now a dead letter"
        );
        self.bury_unread(place, attempts, reason);
    }

    /// Gives up an event that is not even a message.
    pub(super) fn bury_unread(&mut self, place: &Place, attempts: u32, reason: &str) {
        self.dead.push(NewDeadLetter {
            seq: place.seq,
            attempts,
            reason: storable(reason),
        });
    }
}

/// Short, and without the one character that PostgreSQL can't store.
fn storable(reason: &str) -> String {
    reason
        .chars()
        .filter(|&c| c != '\0')
        .take(LONGEST_REASON)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use rand::SeedableRng as _;
    use rand::rngs::StdRng;
    use uuid::Uuid;

    use super::*;
    use crate::event::EventId;

    const POLICY: Policy = Policy {
        max_attempts: 3,
        backoff: Duration::from_secs(1),
        backoff_cap: Duration::from_mins(1),
    };

    fn message(key: Option<&str>) -> Message {
        Message {
            id: EventId::new(Uuid::now_v7()),
            topic: "t".into(),
            key: key.map(str::to_owned),
            kind: "T".into(),
            payload: Vec::new(),
            content_type: "application/json".into(),
            headers: crate::Headers::new(),
            created_at: SystemTime::UNIX_EPOCH,
        }
    }

    /// Judges messages with these keys, whose `seq` is their place and which failed `attempts`
    /// times before.
    fn judge(
        attempts: u32,
        batch: Vec<(Option<&str>, Result<(), PublishError>)>,
    ) -> (Vec<i64>, Vec<i64>, Vec<i64>) {
        let messages: Vec<_> = batch.iter().map(|(key, _)| message(*key)).collect();
        let places: Vec<_> = (0..)
            .take(batch.len())
            .map(|seq| Place { seq, attempts })
            .collect();
        let verdicts = batch.into_iter().map(|(_, verdict)| verdict).collect();
        let settlement = POLICY.judge(&messages, &places, verdicts, &mut StdRng::seed_from_u64(1));
        (
            settlement.published,
            settlement.retries.iter().map(|retry| retry.seq).collect(),
            settlement.dead.iter().map(|burial| burial.seq).collect(),
        )
    }

    fn failed() -> Result<(), PublishError> {
        Err(PublishError::retryable("no"))
    }

    fn refused() -> Result<(), PublishError> {
        Err(PublishError::permanent("never"))
    }

    /// Guards: the set of keys that stopped. A publisher that goes on after a failure can't have a
    /// gap marked.
    #[test]
    fn a_failure_stops_its_own_key_alone_whatever_the_publisher_says_of_the_rest() {
        let judged = judge(
            0,
            vec![
                (Some("a"), Ok(())),
                (Some("a"), failed()),
                (Some("b"), Ok(())),
                (Some("a"), Ok(())),
                (None, failed()),
                (None, Ok(())),
                (Some("a"), refused()),
            ],
        );
        assert_eq!(judged, (vec![0, 2, 5], vec![1, 4], vec![]));
    }

    #[test]
    fn the_last_attempt_makes_a_dead_letter() {
        let judged = judge(2, vec![(Some("a"), failed()), (Some("a"), Ok(()))]);
        assert_eq!(judged, (vec![], vec![], vec![0]));
    }

    #[test]
    fn a_permanent_failure_makes_a_dead_letter_at_once_and_its_key_goes_on() {
        let judged = judge(0, vec![(Some("a"), refused()), (Some("a"), Ok(()))]);
        assert_eq!(judged, (vec![1], vec![], vec![0]));
    }

    #[test]
    fn what_was_held_back_counts_as_no_attempt_and_holds_back_in_turn() {
        let judged = judge(
            2,
            vec![
                (Some("a"), Err(PublishError::held_back())),
                (Some("a"), Ok(())),
            ],
        );
        assert_eq!(judged, (vec![], vec![], vec![]));
    }

    #[test]
    fn the_backoff_doubles_up_to_its_cap_and_is_spread_over_all_of_it() {
        let mut rng = StdRng::seed_from_u64(7);
        for (attempts, ceiling) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (60, 60)] {
            let ceiling = Duration::from_secs(ceiling);
            let delays: Vec<_> = (0..200).map(|_| POLICY.delay(attempts, &mut rng)).collect();
            assert!(delays.iter().all(|delay| *delay < ceiling));
            assert!(delays.iter().any(|delay| *delay < ceiling / 10));
            assert!(delays.iter().any(|delay| *delay > ceiling * 9 / 10));
        }
    }

    #[test]
    fn a_reason_is_stored_up_to_its_limit_and_without_nul() {
        let reason = format!("\0no{}", "é".repeat(LONGEST_REASON));
        let stored = format!("no{}", "é".repeat(LONGEST_REASON - 2));
        for (error, attempts) in [
            (PublishError::retryable(&*reason), 0),
            (PublishError::retryable(&*reason), 2),
            (PublishError::permanent(&*reason), 0),
        ] {
            let place = Place { seq: 1, attempts };
            let mut rng = StdRng::seed_from_u64(1);
            let settlement = POLICY.judge(&[message(None)], &[place], vec![Err(error)], &mut rng);
            let retries = settlement.retries.into_iter().map(|retry| retry.reason);
            let dead = settlement.dead.into_iter().map(|burial| burial.reason);
            assert_eq!(retries.chain(dead).collect::<Vec<_>>(), [&*stored]);
        }
    }

    #[test]
    fn a_receiver_can_ask_for_a_longer_pause_within_reason() {
        let pauses = [(30, 30), (100_000_000, 3_600)].map(|(asked, kept)| {
            let error = PublishError::retryable("busy").after(Duration::from_secs(asked));
            let settlement = POLICY.judge(
                &[message(None)],
                &[Place {
                    seq: 1,
                    attempts: 0,
                }],
                vec![Err(error)],
                &mut StdRng::seed_from_u64(1),
            );
            (settlement.retries[0].delay, Duration::from_secs(kept))
        });
        assert!(
            pauses.iter().all(|(delay, kept)| delay == kept),
            "{pauses:?}"
        );
    }
}
