//! From the queues to the publisher, and what follows from its verdicts.

use super::state::Worker;
use crate::publisher::{PublishBatch, PublishError, Publisher, Remedy};
use crate::reason::storable;
use crate::relay::calls::{Failure, NoVerdict, Step};
use crate::relay::lanes::{LaneId, Left, Stay};
use crate::store::{FailedAttempt, NewDeadLetter, OutboxStore};
use crate::telemetry::relay as telemetry;
use futures_util::FutureExt as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::Instrument as _;

impl<DB: OutboxStore, P: Publisher> Worker<DB, P> {
    pub(super) fn start_publishing(&mut self, now: Instant) {
        while !self.pause.is_on(now) && !self.membership.shards(Instant::now()).is_empty() {
            let window = self.pause.window.unwrap_or(usize::MAX);
            let in_flight = self.publisher.max_in_flight().max(1);
            let window = window.min(in_flight);
            // One key must not take all the places.
            let of_a_key = if in_flight == usize::MAX {
                usize::MAX
            } else {
                1
            };
            let mut most = self.options.batch;
            most.events = most.events.min(window.saturating_sub(self.calls.open()));
            if most.events == 0 {
                break;
            }
            let next = self.lanes.next_batch(most, of_a_key);
            let unreadable = self.lanes.take_unreadable();
            for letter in unreadable {
                tracing::error!(
                    target_name = self.options.target,
                    messaging.message.id = %letter.place.id,
                    reason = letter.reason,
                    "the row can't be read as an event, and is a dead letter now: correct it in `idem_dead_letters` \
                     before you replay it"
                );
                self.settling.bury(letter, "".into(), true);
            }
            if next.messages.is_empty() {
                break;
            }
            let deadline = now + self.options.publish_timeout;
            let number = self.calls.begin(&next.parts, next.places, deadline);
            let batch = PublishBatch::numbered(number, next.messages, self.reports.clone());
            self.running
                .spawn(number, call(self.publisher.clone(), batch));
        }
    }

    pub(super) fn give_up_late_calls(&mut self, now: Instant, steps: &mut Vec<Step>) {
        for batch in self.calls.give_up_late(now, steps) {
            self.running.abort(batch);
        }
        self.follow(steps);
    }

    /// Does what follows from the verdicts.
    pub(super) fn follow(&mut self, steps: &mut Vec<Step>) {
        let now = Instant::now();
        for step in steps.drain(..) {
            match step {
                Step::Confirmed(lane) => {
                    if self.pause.confirmed(self.options.in_hand.events) {
                        tracing::info!(
                            target_name = self.options.target,
                            "the receiver takes events again"
                        );
                    }
                    if let Some(left) = self.lanes.leave(lane) {
                        self.settling.confirm(left);
                    }
                }
                Step::Refused(lane, error) => self.refuse(lane, &error),
                Step::Returned(lane, failure) => self.returned(lane, failure, now),
                Step::ConfirmedLate(lane, place) => {
                    if let Some(left) = self.lanes.confirmed_late(lane, place, now) {
                        self.settling.confirm(left);
                    }
                }
            }
        }
    }

    /// Gives up the first event of a queue while those behind it go on.
    fn refuse(&mut self, lane: LaneId, error: &PublishError) {
        let is_lost = self.lanes.is_lost(lane);
        let Some(left) = self.lanes.leave(lane) else {
            return;
        };
        if is_lost {
            self.lanes.settled(left.place, left.shard);
            return;
        }
        let letter = dead_letter(&self.options.target, &left, error.reason());
        self.settling.bury(letter, left.topic, false);
    }

    fn returned(&mut self, lane: LaneId, failure: Option<Failure>, now: Instant) {
        let Some(failure) = failure else {
            self.lanes.returned(lane, None, now);
            return;
        };
        let (reason, after, is_suspect) = match &failure {
            Failure::Untried => {
                self.lanes.returned(lane, Some(Stay::Untried), now);
                return;
            }
            Failure::Error(error) => match error.remedy() {
                Remedy::Pause { after } => {
                    self.pause_for(error.reason(), after, now);
                    self.lanes.returned(lane, Some(Stay::Untried), now);
                    return;
                }
                Remedy::Retry { after } => (error.reason().to_owned(), after, false),
                Remedy::DeadLetter => (error.reason().to_owned(), Duration::ZERO, false),
            },
            Failure::NoVerdict(how) => (self.without_verdict(*how), Duration::ZERO, true),
        };
        let Some(first) = self.lanes.first(lane) else {
            self.lanes.returned(lane, None, now);
            return;
        };
        if self.lanes.is_lost(lane) {
            self.lanes.returned(lane, Some(Stay::Untried), now);
            return;
        }
        let policy = &self.options.policy;
        let attempts = first.attempts + 1;
        if attempts >= policy.max_attempts {
            let letter = dead_letter(&self.options.target, &first, &reason);
            self.lanes.bury(lane);
            self.settling.bury(letter, first.topic, true);
            return;
        }
        let delay = policy.delay(attempts, after, &mut rand::rng());
        tracing::warn!(
            target_name = self.options.target,
            messaging.message.id = %first.place.id,
            messaging.destination.name = &*first.topic,
            attempts,
            retry_in_ms = delay.as_millis(),
            reason,
            "the event was not published and is tried again; the later events of its key wait for it"
        );
        self.stats.failed += 1;
        telemetry::failed(&self.options.target, &first.topic);
        self.settling.fail(FailedAttempt {
            place: first.place,
            shard: first.shard,
            attempts,
            delay,
            reason: storable(&reason),
        });
        let stay = Stay::Failed {
            retry_at: now + delay,
            is_suspect,
        };
        self.lanes.returned(lane, Some(stay), now);
    }

    fn without_verdict(&self, how: NoVerdict) -> String {
        let publisher = std::any::type_name::<P>();
        match how {
            NoVerdict::Returned => format!("the publisher `{publisher}` gave no verdict"),
            NoVerdict::Panicked => format!("the publisher `{publisher}` panicked"),
            NoVerdict::TimedOut => format!(
                "the publisher `{publisher}` gave no verdict within {:?}",
                self.options.publish_timeout
            ),
        }
    }

    /// Leaves the receiver alone for a while. Nobody's attempt is counted.
    fn pause_for(&mut self, reason: &str, after: Option<Duration>, now: Instant) {
        let is_new = !self.pause.is_on(now);
        if is_new {
            self.pause.failures += 1;
        }
        let policy = &self.options.policy;
        let delay = policy.delay(
            self.pause.failures,
            after.unwrap_or_default(),
            &mut rand::rng(),
        );
        // An immediate attempt would meet the same receiver.
        let delay = delay.max(Duration::from_millis(10));
        let until = now + delay;
        if self.pause.until.is_none_or(|before| before < until) {
            self.pause.until = Some(until);
        }
        self.pause.window = Some(1);
        if is_new {
            tracing::warn!(
                target_name = self.options.target,
                pause_ms = delay.as_millis(),
                reason,
                "the receiver takes nothing now; the relay pauses, and no attempt is counted"
            );
        }
    }
}

fn dead_letter(target: &str, left: &Left, reason: &str) -> NewDeadLetter {
    tracing::error!(
        target_name = target,
        messaging.message.id = %left.place.id,
        messaging.destination.name = &*left.topic,
        attempts = left.attempts + 1,
        reason,
        "the event was given up and is a dead letter now; the later events of its key go on. \
         `replay_dead_letters` brings it back"
    );
    NewDeadLetter {
        place: left.place,
        shard: left.shard,
        attempts: left.attempts + 1,
        reason: storable(reason),
    }
}

/// One call of the publisher.
async fn call<P: Publisher>(publisher: Arc<P>, batch: PublishBatch) -> NoVerdict {
    let span = tracing::debug_span!(
        "publish",
        otel.kind = "producer",
        messaging.operation.type = "send",
        messaging.batch.message_count = batch.messages().len(),
    );
    for message in batch.messages() {
        crate::telemetry::link(&span, &message.headers);
    }
    let call = AssertUnwindSafe(publisher.publish(batch).instrument(span)).catch_unwind();
    match call.await {
        Ok(()) => NoVerdict::Returned,
        Err(_panic) => {
            tracing::error!(
                publisher = std::any::type_name::<P>(),
                "the publisher panicked; the messages of this call that have no verdict are tried again"
            );
            NoVerdict::Panicked
        }
    }
}
