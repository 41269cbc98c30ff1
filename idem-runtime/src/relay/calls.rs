//! The calls of the publisher that are running, and what its verdicts mean for each queue.

use std::collections::HashMap;

use tokio::time::Instant;

use super::lanes::{LaneId, Part};
use crate::publisher::PublishError;
use crate::store::Place;

/// What follows from a verdict.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The first event of a queue is confirmed.
    Confirmed(LaneId),
    /// The first event of a queue is given up, and those behind it go on.
    Refused(LaneId, PublishError),
    /// Nothing more is with the publisher of this queue. What is left of it was not confirmed, the
    /// first of it for that reason.
    Returned(LaneId, Option<Failure>),
    /// A call that was given up has confirmed this event after all.
    ConfirmedLate(LaneId, Place),
}

/// Why the first event of a queue that was sent is not confirmed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The publisher says so.
    Error(PublishError),
    /// The call ended without a verdict on it.
    NoVerdict(NoVerdict),
    /// It was not tried, since the receiver takes nothing now.
    Untried,
}

/// How a call ended without all verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoVerdict {
    Returned,
    Panicked,
    TimedOut,
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    by_number: HashMap<u64, Call>,
    next: u64,
    /// Messages that have no verdict.
    open: usize,
}

#[derive(Debug)]
struct Call {
    queues: Vec<Queue>,
    /// For each message, the queue that it is of.
    queue_of: Vec<u32>,
    places: Vec<Place>,
    deadline: Instant,
    ended: Option<NoVerdict>,
    /// The batch may live longer than the call, if the publisher moved it to another task.
    is_dropped: bool,
    /// After that only late confirmations count.
    is_given_up: bool,
    is_unavailable: bool,
    open: usize,
}

/// The messages of one key in a batch, which stand together.
#[derive(Debug)]
struct Queue {
    lane: LaneId,
    first: usize,
    verdicts: Vec<Option<Result<(), PublishError>>>,
    missing: usize,
    /// How many of them, from the first one, had their effect.
    applied: usize,
    failure: Option<Failure>,
    is_done: bool,
}

impl Calls {
    /// How many messages have no verdict yet.
    pub(super) const fn open(&self) -> usize {
        self.open
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let running = self.by_number.values().filter(|call| !call.is_given_up);
        running.map(|call| call.deadline).min()
    }

    /// Notes a call with these messages. Returns the number of its batch.
    pub(super) fn begin(&mut self, parts: &[Part], places: Vec<Place>, deadline: Instant) -> u64 {
        let mut queues = Vec::with_capacity(parts.len());
        let mut queue_of = Vec::with_capacity(places.len());
        for (number, part) in (0..).zip(parts) {
            queues.push(Queue {
                lane: part.lane,
                first: queue_of.len(),
                verdicts: (0..part.count).map(|_| None).collect(),
                missing: part.count,
                applied: 0,
                failure: None,
                is_done: false,
            });
            queue_of.extend(std::iter::repeat_n(number, part.count));
        }
        self.next += 1;
        self.open += places.len();
        let call = Call {
            queues,
            open: places.len(),
            queue_of,
            places,
            deadline,
            ended: None,
            is_dropped: false,
            is_given_up: false,
            is_unavailable: false,
        };
        self.by_number.insert(self.next, call);
        self.next
    }

    pub(super) fn verdict(
        &mut self,
        batch: u64,
        index: usize,
        verdict: Result<(), PublishError>,
        steps: &mut Vec<Step>,
    ) {
        let Some(call) = self.by_number.get_mut(&batch) else {
            return;
        };
        let Some(number) = call.queue_of.get(index) else {
            return;
        };
        let queue = &mut call.queues[*number as usize];
        if call.is_given_up {
            if verdict.is_ok() {
                steps.push(Step::ConfirmedLate(queue.lane, call.places[index]));
            }
            return;
        }
        call.open -= 1;
        self.open -= 1;
        call.is_unavailable |= verdict.as_ref().is_err_and(PublishError::is_unavailable);
        queue.verdicts[index - queue.first] = Some(verdict);
        queue.missing -= 1;
        queue.apply(steps);
        if queue.missing == 0 {
            queue.end(None, steps);
        }
        if call.open == 0 && call.is_over() {
            self.by_number.remove(&batch);
        }
    }

    /// A call returned, panicked or ran out of time.
    pub(super) fn ended(&mut self, batch: u64, how: NoVerdict, steps: &mut Vec<Step>) {
        if let Some(call) = self.by_number.get_mut(&batch) {
            call.ended = Some(how);
            self.close(batch, steps);
        }
    }

    /// There will be no other verdict on this batch.
    pub(super) fn dropped(&mut self, batch: u64, steps: &mut Vec<Step>) {
        if let Some(call) = self.by_number.get_mut(&batch) {
            call.is_dropped = true;
            self.close(batch, steps);
        }
    }

    /// Gives up the calls whose time is over: those that block their thread, and batches that were
    /// moved elsewhere.
    pub(super) fn give_up_late(&mut self, now: Instant, steps: &mut Vec<Step>) {
        let late = self
            .by_number
            .iter()
            .filter(|(_, call)| !call.is_given_up && call.deadline <= now);
        let mut late: Vec<_> = late.map(|(number, _)| *number).collect();
        // So that the queues come back in the order in which they were sent.
        late.sort_unstable();
        for batch in late {
            if let Some(call) = self.by_number.get_mut(&batch) {
                call.ended = Some(NoVerdict::TimedOut);
                self.close(batch, steps);
            }
        }
    }

    fn close(&mut self, batch: u64, steps: &mut Vec<Step>) {
        let Some(call) = self.by_number.get_mut(&batch) else {
            return;
        };
        let ((Some(how), true) | (Some(how @ NoVerdict::TimedOut), false)) =
            (call.ended, call.is_dropped)
        else {
            // The call returned and left its batch to another task, or the other way round.
            return;
        };
        if !call.is_given_up {
            let failure = |queue: &Queue| match () {
                () if queue.failure.is_some() => None,
                () if call.is_unavailable => Some(Failure::Untried),
                () => Some(Failure::NoVerdict(how)),
            };
            for queue in call.queues.iter_mut().filter(|queue| !queue.is_done) {
                let failure = failure(queue);
                queue.end(failure, steps);
            }
            self.open -= call.open;
            call.open = 0;
            call.is_given_up = true;
        }
        if call.is_dropped {
            self.by_number.remove(&batch);
        }
    }
}

impl Call {
    const fn is_over(&self) -> bool {
        self.ended.is_some() && self.is_dropped
    }
}

impl Queue {
    /// Takes the verdicts into account that follow one another from the first event on, up to the
    /// first failure. Behind that nothing counts: an event that was confirmed all the same is
    /// published again, after the one that failed.
    fn apply(&mut self, steps: &mut Vec<Step>) {
        while self.failure.is_none()
            && let Some(verdict) = self.verdicts.get_mut(self.applied).and_then(Option::take)
        {
            self.applied += 1;
            match verdict {
                Ok(()) => steps.push(Step::Confirmed(self.lane)),
                Err(error) if error.is_permanent() => {
                    steps.push(Step::Refused(self.lane, error));
                }
                Err(error) => self.failure = Some(Failure::Error(error)),
            }
        }
    }

    fn end(&mut self, failure: Option<Failure>, steps: &mut Vec<Step>) {
        if self.is_done {
            return;
        }
        self.is_done = true;
        let failure = self.failure.take().or(failure);
        steps.push(Step::Returned(self.lane, failure));
    }
}

#[cfg(test)]
mod tests;
