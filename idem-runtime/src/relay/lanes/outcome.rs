//! How the events that were sent leave their queues, or stay.

use tokio::time::Instant;

use super::{Content, LaneId, Lanes, Left, State};
use crate::shard::{SHARDS, ShardSet};
use crate::store::Place;

/// Why the first event of a queue stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stay {
    /// It failed, and is tried again then.
    Failed { retry_at: Instant, is_suspect: bool },
    /// It was not tried.
    Untried,
}

impl Lanes {
    /// The first event of a queue, of those that were sent.
    pub(crate) fn first(&self, id: LaneId) -> Option<Left> {
        let lane = self.by_id.get(&id)?;
        let first = lane.events.front()?;
        Some(Left {
            place: first.place,
            topic: first.topic.clone(),
            shard: lane.shard,
            attempts: first.attempts,
        })
    }

    /// Whether another relay has the shard of this queue now.
    pub(crate) fn is_lost(&self, id: LaneId) -> bool {
        self.by_id.get(&id).is_none_or(|lane| lane.is_lost)
    }

    /// Takes the first event out of a queue: it was confirmed, or becomes a dead letter while the
    /// publisher goes on with those behind it. It stays known until it is
    /// [settled](Self::settled).
    pub(crate) fn leave(&mut self, id: LaneId) -> Option<Left> {
        let left = self.first(id)?;
        let lane = self.by_id.get_mut(&id)?;
        let event = lane.events.pop_front()?;
        if let State::Sent(count) = &mut lane.state {
            *count = count.saturating_sub(1);
        }
        self.unload(event.size, true);
        Some(left)
    }

    fn unload(&mut self, size: usize, was_loaded: bool) {
        if was_loaded {
            self.loaded.events = self.loaded.events.saturating_sub(1);
            self.loaded.bytes = self.loaded.bytes.saturating_sub(size);
        }
    }

    /// What was sent of a queue has ended. Events that were not confirmed stay in the queue. `stay`
    /// says why the first of them does; `None` if there is none.
    pub(crate) fn returned(&mut self, id: LaneId, stay: Option<Stay>, now: Instant) {
        let Some(lane) = self.by_id.get_mut(&id) else {
            return;
        };
        let State::Sent(left) = lane.state else {
            return;
        };
        let shard = usize::from(lane.shard % SHARDS);
        self.busy.0[shard] = self.busy.0[shard].saturating_sub(u32::try_from(left).unwrap_or(0));
        let mut sizes = 0;
        for event in lane.events.iter().take(left) {
            sizes += event.size;
        }
        if let (
            Some(Stay::Failed {
                retry_at,
                is_suspect,
            }),
            Some(first),
        ) = (stay, lane.events.front_mut())
        {
            first.attempts += 1;
            first.retry_at = Some(retry_at);
            first.is_suspect |= is_suspect;
        }
        let is_lost = lane.is_lost;
        self.loaded.events = self.loaded.events.saturating_sub(left);
        self.loaded.bytes = self.loaded.bytes.saturating_sub(sizes);
        if is_lost {
            self.forget(id);
            return;
        }
        if stay.is_some() {
            self.put_away(id);
        }
        self.start(id, now);
    }

    /// Holds a queue until its first event, which failed for the last time, is a dead letter.
    pub(crate) fn bury(&mut self, id: LaneId) {
        let Some(lane) = self.by_id.get_mut(&id) else {
            return;
        };
        let State::Sent(left) = lane.state else {
            return;
        };
        let shard = usize::from(lane.shard % SHARDS);
        // One of them is still to be settled.
        let returned = u32::try_from(left).unwrap_or(0).saturating_sub(1);
        self.busy.0[shard] = self.busy.0[shard].saturating_sub(returned);
        let sizes: usize = lane.events.iter().take(left).map(|event| event.size).sum();
        lane.state = State::Burying;
        self.loaded.events = self.loaded.events.saturating_sub(left);
        self.loaded.bytes = self.loaded.bytes.saturating_sub(sizes);
        self.put_away(id);
    }

    /// The first event of a queue is a dead letter, or it could not be made one, since another
    /// relay has its shard.
    pub(crate) fn buried(&mut self, id: LaneId, done: bool, now: Instant) {
        let Some(lane) = self.by_id.get_mut(&id) else {
            return;
        };
        if lane.state != State::Burying {
            return;
        }
        let shard = usize::from(lane.shard % SHARDS);
        self.busy.0[shard] = self.busy.0[shard].saturating_sub(1);
        let is_lost = lane.is_lost;
        if !done {
            self.put_away(id);
        } else if let Some(event) = lane.events.pop_front() {
            self.known.remove(&event.place);
        }
        if is_lost {
            self.forget(id);
        } else {
            self.start(id, now);
        }
    }

    /// Which queue waits for this event to become a dead letter.
    pub(crate) fn burying(&self) -> Vec<(LaneId, Place)> {
        let burying = self
            .by_id
            .iter()
            .filter(|(_, lane)| lane.state == State::Burying);
        burying
            .filter_map(|(id, lane)| Some((*id, lane.events.front()?.place)))
            .collect()
    }

    /// Forgets an event that left its queue, now that the database has forgotten it too.
    pub(crate) fn settled(&mut self, place: Place, shard: u8) {
        self.known.remove(&place);
        let shard = usize::from(shard % SHARDS);
        self.busy.0[shard] = self.busy.0[shard].saturating_sub(1);
    }

    /// Takes an event out of its queue, since a call that had been given up confirmed it after all;
    /// only if it is the first one and waits. Behind an unconfirmed event it would be out of order,
    /// so there it is published again.
    pub(crate) fn confirmed_late(
        &mut self,
        id: LaneId,
        place: Place,
        now: Instant,
    ) -> Option<Left> {
        let lane = self.by_id.get_mut(&id)?;
        if matches!(lane.state, State::Sent(_) | State::Burying | State::Loading) {
            return None;
        }
        let event = lane.events.pop_front_if(|event| event.place == place)?;
        let was_loaded = matches!(event.content, Content::Loaded(_));
        let left = Left {
            place,
            topic: event.topic,
            shard: lane.shard,
            attempts: event.attempts,
        };
        self.busy.0[usize::from(lane.shard % SHARDS)] += 1;
        let (state, is_last) = (lane.state, lane.events.is_empty());
        self.unload(event.size, was_loaded);
        if let State::Waiting(due) = state {
            self.waiting.remove(&(due, id));
        }
        // One that is ready has its place among the others already.
        if is_last || state != State::Ready {
            self.start(id, now);
        }
        Some(left)
    }

    /// Forgets the queues of these shards, except for what a publisher has and what is being
    /// written as a dead letter.
    pub(crate) fn lose(&mut self, shards: ShardSet) {
        let lost: Vec<_> = self
            .by_id
            .iter()
            .filter(|(_, lane)| shards.contains(lane.shard))
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            let Some(lane) = self.by_id.get_mut(&id) else {
                continue;
            };
            let kept = match lane.state {
                State::Sent(count) => count,
                State::Burying => 1,
                State::Ready | State::Loading | State::Waiting(_) => {
                    self.forget(id);
                    continue;
                }
            };
            lane.is_lost = true;
            let dropped: Vec<_> = lane.events.drain(kept.min(lane.events.len())..).collect();
            for event in dropped {
                self.known.remove(&event.place);
                self.unload(event.size, matches!(event.content, Content::Loaded(_)));
            }
        }
    }

    /// These shards are this relay's again. What is still with a publisher of them, or being
    /// buried, is an ordinary queue again: what is read now takes its place behind it.
    pub(crate) fn regain(&mut self, shards: ShardSet) {
        for lane in self.by_id.values_mut() {
            lane.is_lost &= !shards.contains(lane.shard);
        }
    }

    /// Removes a queue with all that is in it.
    fn forget(&mut self, id: LaneId) {
        let Some(lane) = self.by_id.remove(&id) else {
            return;
        };
        if let State::Waiting(due) = lane.state {
            self.waiting.remove(&(due, id));
        }
        for event in lane.events {
            self.known.remove(&event.place);
            self.unload(event.size, matches!(event.content, Content::Loaded(_)));
        }
        if let Some(key) = lane.key {
            self.by_key.remove(&key);
        }
    }
}
