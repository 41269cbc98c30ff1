//! What the source, its threads and its deliveries share.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use idem_runtime::{Handover, Incoming, Partition, SourceError};
use tokio::sync::{Notify, oneshot};

use super::buffer::{Buffer, Next, Waiting};
use super::limits::Limits;
use super::tracker::{Arrived, Tracker};

/// A topic and a number.
pub(super) type Place = (String, i32);

/// Under one lock, for short.
pub(super) struct Shared {
    pub(super) limits: Limits,
    state: Mutex<State>,
    /// For `receive`: something has arrived or ended.
    pub(super) changed: Notify,
    /// For the threads: something is to be committed or resumed, or was settled.
    pub(super) work: Condvar,
    /// Held from the choice of offsets until they are committed: an older commit never follows a
    /// newer one.
    pub(super) committing: Mutex<()>,
    /// Held while partitions are paused or resumed.
    pub(super) flow: Mutex<()>,
}

#[allow(
    clippy::struct_excessive_bools,
    reason = "each is set by somebody else, at any time"
)]
#[derive(Default)]
pub(super) struct State {
    pub(super) assignments: HashMap<u64, Assignment>,
    pub(super) assigned: HashMap<Place, u64>,
    topics: HashMap<String, u64>,
    next: u64,
    pub(super) buffer: Buffer,
    /// Partitions that the consumer has not heard of yet that it loses them.
    pub(super) revoked: VecDeque<(Vec<Partition>, Handover)>,
    pub(super) failure: Option<SourceError>,
    /// Nothing more will arrive.
    pub(super) end: Option<SourceError>,
    pub(super) was_assigned: bool,
    /// The consumer has no room.
    pub(super) paused: bool,
    pub(super) stopped: bool,
    /// Something can be polled.
    pub(super) is_ready: bool,
    /// The thread that polls waits for room.
    pub(super) poller_waits: bool,
    /// The threads have nothing more to do.
    pub(super) is_over: bool,
}

/// A partition, from its assignment until it is taken away.
pub(super) struct Assignment {
    pub(super) place: Place,
    pub(super) partition: Partition,
    pub(super) tracker: Tracker,
    /// What is below may have been handed out by an owner before.
    end: i64,
    pub(super) paused: bool,
    /// Being taken away.
    pub(super) revoked: bool,
    /// How many of its deliveries are handed out.
    pub(super) in_hand: usize,
}

impl Shared {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: Mutex::default(),
            changed: Notify::new(),
            work: Condvar::new(),
            committing: Mutex::new(()),
            flow: Mutex::new(()),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is so, or the time is over. Returns the state as it is then.
    pub(super) fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        limit: Duration,
        is_so: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        let waited = self
            .work
            .wait_timeout_while(state, limit, |state| !is_so(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Something can be polled. Called by threads of the client, with locks of its own.
    pub(super) fn wake(&self) {
        self.state().is_ready = true;
        self.work.notify_all();
    }

    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        // Nobody hears of them any more. Deliveries in hand are waited for nevertheless.
        let revoked = std::mem::take(&mut state.revoked);
        let buffer = std::mem::take(&mut state.buffer);
        drop(state);
        drop((revoked, buffer));
        self.changed.notify_one();
        self.work.notify_all();
    }

    pub(super) fn fail(&self, error: SourceError) {
        let mut state = self.state();
        if error.is_permanent() {
            state.end.get_or_insert(error);
        } else {
            state.failure.get_or_insert(error);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// A message was handed out and settled, or dropped.
    pub(super) fn left_hand(&self, assignment: u64) {
        if let Some(assignment) = self.state().assignments.get_mut(&assignment) {
            assignment.in_hand -= 1;
        }
        self.work.notify_all();
    }

    /// Marks a message as done. `Err`: its partition was taken away.
    pub(super) fn settle(
        &self,
        assignment: u64,
        offset: i64,
    ) -> Result<Option<oneshot::Receiver<()>>, ()> {
        let mut state = self.state();
        let assignment = state.assignments.get_mut(&assignment).ok_or(())?;
        let commit = assignment.tracker.settle(offset);
        drop(state);
        if commit.is_some() {
            self.work.notify_all();
        }
        Ok(commit)
    }

    /// Puts a message back that was handed out. `Err`: its partition was taken away.
    pub(super) fn put_back(
        &self,
        assignment: u64,
        offset: i64,
        mut incoming: Incoming,
        after: Duration,
    ) -> Result<(), ()> {
        let mut state = self.state();
        let owner = state.assignments.get(&assignment).ok_or(())?;
        // After the end, or at the next owner, it comes from the broker.
        if state.stopped || owner.revoked {
            return Ok(());
        }
        incoming.redelivered = true;
        let due = (!after.is_zero()).then(|| Instant::now() + after);
        state.buffer.put_back(Waiting {
            assignment,
            offset,
            incoming,
            due,
        });
        drop(state);
        self.changed.notify_one();
        Ok(())
    }
}

impl State {
    /// A partition is this member's. `end` is the offset of what comes next after all that is there
    /// already.
    pub(super) fn assign(&mut self, place: Place, end: i64) {
        let topics = self.topics.len() as u64;
        let topic = *self.topics.entry(place.0.clone()).or_insert(topics);
        let number = u64::from(place.1.unsigned_abs());
        let assignment = Assignment {
            place: place.clone(),
            partition: Partition((topic << 32) | number),
            tracker: Tracker::default(),
            end,
            paused: false,
            revoked: false,
            in_hand: 0,
        };
        self.assignments.insert(self.next, assignment);
        self.assigned.insert(place, self.next);
        self.next += 1;
        self.was_assigned = true;
    }

    /// A message of a partition. One of a partition that is not this member's is left out.
    pub(super) fn arrived(
        &mut self,
        place: &Place,
        offset: i64,
        window: usize,
        mut incoming: Incoming,
    ) {
        let Some(id) = self.assigned.get(place) else {
            return;
        };
        let Some(assignment) = self.assignments.get_mut(id) else {
            return;
        };
        if self.stopped || self.end.is_some() || assignment.revoked {
            return;
        }
        let before = match assignment.tracker.arrived(offset) {
            Arrived::New { before } => before,
            Arrived::Again => return,
            Arrived::Back { last } => {
                let (topic, partition) = place;
                self.end = Some(SourceError::permanent(format!(
                    "partition {partition} of the topic `{topic}` went back from offset {last} to {offset}: the topic was made anew, \
                     or a broker that lacked messages became its leader. What has new offsets now can't be told from what was \
                     handled. Look what was lost, reset the offsets of the group if you must, and start the consumer again"
                )));
                return;
            }
        };
        // No owner has handed out more than its window past what it had committed.
        incoming.redelivered = before < window && offset < assignment.end;
        self.buffer.push(Waiting {
            assignment: *id,
            offset,
            incoming,
            due: None,
        });
    }

    /// The offsets that can be committed, of all partitions or of these.
    pub(super) fn to_commit(&self, of: Option<&[u64]>) -> Vec<(u64, Place, i64)> {
        let assignments = self.assignments.iter();
        let assignments = assignments.filter(|(id, _)| of.is_none_or(|of| of.contains(id)));
        let offset = |(id, assignment): (&u64, &Assignment)| {
            let next = assignment.tracker.to_commit()?;
            Some((*id, assignment.place.clone(), next))
        };
        assignments.filter_map(offset).collect()
    }

    pub(super) fn committed(&mut self, offsets: &[(u64, Place, i64)]) {
        for (id, _, next) in offsets {
            if let Some(assignment) = self.assignments.get_mut(id) {
                assignment.tracker.committed(*next);
            }
        }
    }

    /// How many deliveries are handed out, of all partitions or of these.
    pub(super) fn in_hand(&self, of: Option<&[u64]>) -> usize {
        let assignments = self.assignments.iter();
        let assignments = assignments.filter(|(id, _)| of.is_none_or(|of| of.contains(id)));
        assignments.map(|(_, assignment)| assignment.in_hand).sum()
    }

    /// What the consumer gets next. It counts as in hand from here on.
    pub(super) fn hand_out(&mut self) -> Next {
        let next = self.buffer.next(Instant::now());
        if let Next::Message(waiting) = &next
            && let Some(assignment) = self.assignments.get_mut(&waiting.assignment)
        {
            assignment.in_hand += 1;
        }
        next
    }

    pub(super) fn partition(&self, assignment: u64) -> Partition {
        let assignment = self.assignments.get(&assignment);
        assignment.map_or_else(Partition::default, |assignment| assignment.partition)
    }

    /// Nothing more is taken.
    pub(super) const fn is_leaving(&self) -> bool {
        self.stopped || self.end.is_some()
    }

    /// Nothing more is taken, and nothing is in hand.
    pub(super) fn is_done(&self) -> bool {
        self.is_leaving() && self.in_hand(None) == 0
    }

    /// What waits to be handed out has no room for more.
    pub(super) fn is_full(&self, limits: Limits) -> bool {
        self.buffer.len() >= limits.messages || self.buffer.bytes() >= limits.bytes
    }

    /// Whether there is room again after a pause.
    pub(super) fn has_room(&self, limits: Limits) -> bool {
        self.buffer.len() <= limits.messages / 2 && self.buffer.bytes() <= limits.bytes / 2
    }

    /// Whether nothing more may be fetched of a partition.
    pub(super) fn must_pause(&self, assignment: &Assignment, limits: Limits) -> bool {
        self.is_leaving() || assignment.tracker.len() >= limits.window || self.is_full(limits)
    }

    /// Whether a partition that is paused need not be.
    pub(super) fn may_resume(&self, assignment: &Assignment, limits: Limits) -> bool {
        !self.is_leaving()
            && !assignment.revoked
            && assignment.tracker.len() <= limits.window / 2
            && self.has_room(limits)
    }

    /// Whether something is to be committed or resumed.
    pub(super) fn has_work(&self, limits: Limits) -> bool {
        self.assignments.values().any(|assignment| {
            assignment.tracker.to_commit().is_some()
                || (assignment.paused && self.may_resume(assignment, limits))
        })
    }
}
