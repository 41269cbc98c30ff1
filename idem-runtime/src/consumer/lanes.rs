//! The deliveries in hand, in order: one queue for each partition and ordering key.
//!
//! Nothing here knows a broker, a database or a clock. A delivery stays at its place until it is
//! done, so the one that runs is the first of its lane.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use crate::source::Partition;

/// Names a delivery for as long as it is in hand. Later ones have higher numbers.
pub(super) type Ticket = u64;

type LaneId = u64;

#[derive(Debug, Default)]
pub(super) struct Lanes {
    by_id: HashMap<LaneId, Lane>,
    by_key: HashMap<(Partition, Arc<str>), LaneId>,
    of: HashMap<Ticket, LaneId>,
    next: LaneId,
    ready: VecDeque<LaneId>,
    waiting: BTreeSet<(Instant, LaneId)>,
    held: HashSet<LaneId>,
}

#[derive(Debug)]
struct Lane {
    partition: Partition,
    /// None of a delivery without a key, which has a lane to itself.
    key: Option<Arc<str>>,
    queue: VecDeque<Ticket>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    /// Its first delivery runs, or is being counted or buried.
    Running,
    Waiting(Instant),
    /// Until somebody says that all of these can go on.
    Held,
}

impl Lanes {
    /// Puts a delivery at the end of its lane.
    pub(super) fn push(&mut self, ticket: Ticket, partition: Partition, key: Option<&str>) {
        let key: Option<Arc<str>> = key.map(Into::into);
        let known = key
            .clone()
            .and_then(|key| self.by_key.get(&(partition, key)));
        if let Some(&id) = known {
            self.of.insert(ticket, id);
            if let Some(lane) = self.by_id.get_mut(&id) {
                lane.queue.push_back(ticket);
            }
            return;
        }
        let id = self.next;
        self.next += 1;
        if let Some(key) = key.clone() {
            self.by_key.insert((partition, key), id);
        }
        let lane = Lane {
            partition,
            key,
            queue: VecDeque::from([ticket]),
            state: State::Ready,
        };
        self.by_id.insert(id, lane);
        self.of.insert(ticket, id);
        self.ready.push_back(id);
    }

    /// The next delivery that may run. It runs from now on.
    pub(super) fn next(&mut self) -> Option<Ticket> {
        let id = self.ready.pop_front()?;
        let lane = self.by_id.get_mut(&id)?;
        lane.state = State::Running;
        lane.queue.front().copied()
    }

    /// How many may run.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// What [`next`](Self::next) gave does not run yet. It is the next one again.
    pub(super) fn put_back(&mut self, ticket: Ticket) {
        if let Some((id, lane)) = self.running(ticket) {
            lane.state = State::Ready;
            self.ready.push_front(id);
        }
    }

    /// The first delivery of a lane is done with: the lane goes on.
    pub(super) fn done(&mut self, ticket: Ticket) {
        let Some(id) = self.of.remove(&ticket) else {
            return;
        };
        let Some(lane) = self.by_id.get_mut(&id) else {
            return;
        };
        lane.queue.retain(|other| *other != ticket);
        if lane.queue.is_empty() {
            self.remove(id);
        } else if lane.state == State::Running {
            lane.state = State::Ready;
            self.ready.push_back(id);
        }
    }

    /// The first delivery of a lane runs again at that time. Until then its lane waits.
    pub(super) fn wait(&mut self, ticket: Ticket, until: Instant) {
        if let Some((id, lane)) = self.running(ticket) {
            lane.state = State::Waiting(until);
            self.waiting.insert((until, id));
        }
    }

    /// The first delivery of a lane runs again once [`release`](Self::release) is called.
    pub(super) fn hold(&mut self, ticket: Ticket) {
        if let Some((id, lane)) = self.running(ticket) {
            lane.state = State::Held;
            self.held.insert(id);
        }
    }

    /// Those that are held run again, each at its time.
    pub(super) fn release(&mut self, mut at: impl FnMut(Ticket) -> Instant) {
        for id in std::mem::take(&mut self.held) {
            let Some(lane) = self.by_id.get_mut(&id) else {
                continue;
            };
            let Some(&first) = lane.queue.front() else {
                continue;
            };
            let until = at(first);
            lane.state = State::Waiting(until);
            self.waiting.insert((until, id));
        }
    }

    /// Lanes whose time has come are ready.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some(&(until, id)) = self.waiting.first() {
            if until > now {
                break;
            }
            self.waiting.pop_first();
            if let Some(lane) = self.by_id.get_mut(&id) {
                lane.state = State::Ready;
                self.ready.push_back(id);
            }
        }
    }

    /// When the next lane that waits is ready.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.first().map(|(until, _)| *until)
    }

    /// The broker took this delivery back: it leaves its lane, and all behind it, since they would
    /// run before it otherwise. One that runs can't be stopped, and stays until it is done.
    pub(super) fn lost(&mut self, ticket: Ticket) -> Vec<Ticket> {
        let Some(id) = self.of.get(&ticket).copied() else {
            return Vec::new();
        };
        let Some(lane) = self.by_id.get_mut(&id) else {
            return Vec::new();
        };
        let place = lane.queue.iter().position(|other| *other == ticket);
        let mut from = place.unwrap_or(lane.queue.len());
        if from == 0 && lane.state == State::Running {
            from = 1;
        }
        self.cut(id, from)
    }

    /// Everything of these partitions that does not run leaves its lane.
    pub(super) fn revoke(&mut self, partitions: &[Partition]) -> Vec<Ticket> {
        let lanes = self.by_id.iter();
        let of = lanes.filter(|(_, lane)| partitions.contains(&lane.partition));
        let ids: Vec<_> = of.map(|(id, _)| *id).collect();
        self.cut_waiting(&ids)
    }

    /// Everything that does not run leaves its lane, in the order in which it came.
    pub(super) fn clear(&mut self) -> Vec<Ticket> {
        let ids: Vec<_> = self.by_id.keys().copied().collect();
        let mut left = self.cut_waiting(&ids);
        left.sort_unstable();
        left
    }

    /// What is in the lane of this delivery from it on, it included.
    pub(super) fn tail(&self, ticket: Ticket) -> Vec<Ticket> {
        let lane = self.of.get(&ticket).and_then(|id| self.by_id.get(id));
        let queue = lane.into_iter().flat_map(|lane| lane.queue.iter().copied());
        queue.skip_while(|other| *other != ticket).collect()
    }

    /// If the lane of this delivery waits for its first one and holds more than `most`: that one,
    /// and when it is due.
    pub(super) fn crowded(&self, ticket: Ticket, most: usize) -> Option<(Ticket, Instant)> {
        let lane = self.by_id.get(self.of.get(&ticket)?)?;
        match lane.state {
            State::Waiting(until) if lane.queue.len() > most => Some((*lane.queue.front()?, until)),
            _ => None,
        }
    }

    /// These leave their lanes, whatever they do; a lane that ran one of them goes on.
    pub(super) fn remove_all(&mut self, tickets: &[Ticket]) {
        for ticket in tickets {
            self.done(*ticket);
        }
    }

    fn running(&mut self, ticket: Ticket) -> Option<(LaneId, &mut Lane)> {
        let id = *self.of.get(&ticket)?;
        let lane = self.by_id.get_mut(&id)?;
        (lane.state == State::Running && lane.queue.front() == Some(&ticket)).then_some((id, lane))
    }

    fn cut_waiting(&mut self, ids: &[LaneId]) -> Vec<Ticket> {
        let mut left = Vec::new();
        for id in ids {
            let runs = self
                .by_id
                .get(id)
                .is_some_and(|lane| lane.state == State::Running);
            left.extend(self.cut(*id, usize::from(runs)));
        }
        left
    }

    /// Takes the deliveries of a lane away from that place on.
    fn cut(&mut self, id: LaneId, from: usize) -> Vec<Ticket> {
        let Some(lane) = self.by_id.get_mut(&id) else {
            return Vec::new();
        };
        let left: Vec<_> = lane.queue.drain(from.min(lane.queue.len())..).collect();
        for ticket in &left {
            self.of.remove(ticket);
        }
        if lane.queue.is_empty() {
            self.remove(id);
        }
        left
    }

    fn remove(&mut self, id: LaneId) {
        let Some(lane) = self.by_id.remove(&id) else {
            return;
        };
        if let Some(key) = lane.key {
            self.by_key.remove(&(lane.partition, key));
        }
        match lane.state {
            State::Ready => self.ready.retain(|other| *other != id),
            State::Waiting(until) => {
                self.waiting.remove(&(until, id));
            }
            State::Held => {
                self.held.remove(&id);
            }
            State::Running => {}
        }
    }
}
