//! From the queues to the publisher, what follows from its verdicts, and what is written of that.

use std::time::Duration;

use tokio::time::Instant;

use super::broker::{PUBLISH_TIMEOUT, Running};
use super::database::Batch;
use super::history::number_of;
use super::process::Process;
use super::reading::BATCH;
use super::rule::Rule;
use super::scene::Scene;
use super::statement::Ask;
use crate::publisher::{PublishError, Remedy};
use crate::relay::calls::{Failure, Step};
use crate::relay::lanes::{LaneId, Left, Stay};
use crate::relay::policy::Policy;
use crate::store::{FailedAttempt, NewDeadLetter};

const POLICY: Policy = Policy {
    max_attempts: 3,
    backoff: Duration::from_millis(20),
    backoff_cap: Duration::from_millis(60),
};

/// How much one statement settles at most.
const MOST: usize = 6;

impl Process {
    pub(super) fn start_publishing(&mut self, scene: &mut Scene) {
        let now = scene.now;
        while self.pause.is_none_or(|until| until <= now) && !self.membership.shards(now).is_empty()
        {
            let next = self.lanes.next_batch(BATCH, usize::MAX);
            for letter in self.lanes.take_unreadable() {
                self.unsettled.dead.push((letter, true));
            }
            if next.messages.is_empty() {
                break;
            }
            let events: Vec<_> = next.places.iter().map(|at| number_of(at.id)).collect();
            let deadline = now + PUBLISH_TIMEOUT;
            let batch = self.calls.begin(&next.parts, next.places, deadline);
            let number = self.number;
            scene.note(|| format!("relay {number}: call {batch} with {events:?}"));
            self.running
                .push(Running::new(batch, events.into_iter(), deadline, scene));
        }
    }

    pub(super) fn follow(&mut self, steps: &mut Vec<Step>, scene: &mut Scene) {
        for step in steps.drain(..) {
            match step {
                Step::Confirmed(lane) => {
                    if let Some(left) = self.lanes.leave(lane) {
                        self.unsettled.confirmed.push(left);
                    }
                }
                Step::Refused(lane, error) => self.refuse(lane, &error),
                Step::Returned(lane, failure) => self.returned(lane, failure, scene),
                Step::ConfirmedLate(lane, place) => {
                    if let Some(left) = self.lanes.confirmed_late(lane, place, scene.now) {
                        self.unsettled.confirmed.push(left);
                    }
                }
            }
        }
    }

    fn refuse(&mut self, lane: LaneId, error: &PublishError) {
        let is_lost = self.lanes.is_lost(lane);
        let Some(left) = self.lanes.leave(lane) else {
            return;
        };
        if is_lost {
            self.lanes.settled(left.place, left.shard);
            return;
        }
        let letter = dead_letter(&left, error.reason());
        self.unsettled.dead.push((letter, false));
    }

    fn returned(&mut self, lane: LaneId, failure: Option<Failure>, scene: &mut Scene) {
        let now = scene.now;
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
                Remedy::Pause { .. } => {
                    self.pause = Some(now + Duration::from_millis(10));
                    self.lanes.returned(lane, Some(Stay::Untried), now);
                    return;
                }
                Remedy::Retry { after } => (error.reason().to_owned(), after, false),
                Remedy::DeadLetter => (error.reason().to_owned(), Duration::ZERO, false),
            },
            Failure::NoVerdict(how) => (format!("{how:?}"), Duration::ZERO, true),
        };
        let Some(first) = self.lanes.first(lane) else {
            self.lanes.returned(lane, None, now);
            return;
        };
        if self.lanes.is_lost(lane) {
            self.lanes.returned(lane, Some(Stay::Untried), now);
            if self.rule == Rule::LostForGood {
                self.reading.restart(now);
            }
            return;
        }
        let attempts = first.attempts + 1;
        if attempts >= POLICY.max_attempts {
            let letter = dead_letter(&first, &reason);
            self.lanes.bury(lane);
            self.unsettled.dead.push((letter, true));
            return;
        }
        let delay = POLICY.delay(attempts, after, &mut scene.rng);
        self.unsettled.failed.push(FailedAttempt {
            place: first.place,
            shard: first.shard,
            attempts,
            delay,
            reason,
        });
        let stay = Stay::Failed {
            retry_at: now + delay,
            is_suspect,
        };
        self.lanes.returned(lane, Some(stay), now);
    }

    pub(super) fn start_settling(&mut self, now: Instant) {
        if self.is_settling || self.unsettled.is_empty() || self.is_out(now) {
            return;
        }
        let all = &mut self.unsettled;
        let batch = Batch {
            confirmed: take(&mut all.confirmed),
            failed: take(&mut all.failed),
            dead: take(&mut all.dead),
        };
        self.is_settling = true;
        self.ask(Ask::Settle(batch));
    }

    /// `None`: nobody knows what became of it.
    pub(super) fn settled(&mut self, batch: Batch, settled: Option<bool>, now: Instant) {
        self.is_settling = false;
        let Some(is_owner) = settled else {
            let all = &mut self.unsettled;
            all.confirmed.splice(..0, batch.confirmed);
            all.failed.splice(..0, batch.failed);
            all.dead.splice(..0, batch.dead);
            return;
        };
        for left in &batch.confirmed {
            self.lanes.settled(left.place, left.shard);
            self.reading.settled(left.place.id);
        }
        if !is_owner {
            self.membership.is_due = true;
        }
        let burying = self.lanes.burying();
        for (letter, holds_queue) in batch.dead {
            self.reading.settled(letter.place.id);
            if !holds_queue {
                self.lanes.settled(letter.place, letter.shard);
                if !is_owner && self.rule != Rule::ForgetsBurials {
                    self.reading.restart(now);
                }
                continue;
            }
            let queue = burying.iter().find(|(_, place)| *place == letter.place);
            if let Some((lane, _)) = queue {
                self.lanes.buried(*lane, is_owner, now);
            }
        }
    }
}

fn take<T>(all: &mut Vec<T>) -> Vec<T> {
    let count = all.len().min(MOST);
    all.drain(..count).collect()
}

fn dead_letter(left: &Left, reason: &str) -> NewDeadLetter {
    NewDeadLetter {
        place: left.place,
        shard: left.shard,
        attempts: left.attempts + 1,
        reason: reason.to_owned(),
    }
}
