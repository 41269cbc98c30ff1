//! Messages of which only the number was kept, and which are read again.

use std::collections::HashMap;

use tokio::time::Instant;

use super::{Amount, Content, Lane, LaneId, Lanes, State};
use crate::store::{FoundEvent, Place};

impl Lane {
    /// Whether the last event is one to be read again. No message is kept in memory behind such an
    /// event: it would take the room that is needed to read it.
    pub(super) fn has_unread(&self) -> bool {
        let sent = match self.state {
            State::Sent(count) => count,
            State::Burying => 1,
            State::Ready | State::Loading | State::Waiting(_) => 0,
        };
        let last = self.events.iter().skip(sent).next_back();
        last.is_some_and(|event| matches!(event.content, Content::Away))
    }
}

impl Lanes {
    /// Keeps the numbers of a queue whose first message has to be read again, and no messages.
    pub(super) fn put_away(&mut self, id: LaneId) {
        let Some(lane) = self.by_id.get_mut(&id) else {
            return;
        };
        for event in &mut lane.events {
            if matches!(event.content, Content::Loaded(_)) {
                event.content = Content::Away;
                self.loaded.events = self.loaded.events.saturating_sub(1);
                self.loaded.bytes = self.loaded.bytes.saturating_sub(event.size);
            }
        }
    }

    /// What to read again now, at most that much, give or take one event. What does not fit of the
    /// last queue is left for its next turn: a queue that had loaded a part of its messages, and
    /// waited for room for the others, would take up that room itself.
    pub(crate) fn take_wanted(&mut self, most: Amount) -> Vec<(LaneId, Place)> {
        let (mut count, mut bytes) = (0, 0);
        for (id, place) in self.wanted.iter().take(most.events) {
            if bytes >= most.bytes {
                break;
            }
            let lane = self.by_id.get(id);
            let event =
                lane.and_then(|lane| lane.events.iter().find(|event| event.place == *place));
            bytes += event.map_or(0, |event| event.size);
            count += 1;
        }
        let taken: Vec<_> = self.wanted.drain(..count).collect();
        let last = taken.last().map(|(id, _)| *id);
        let rest = self.wanted.iter().take_while(|(id, _)| Some(*id) == last);
        self.wanted.drain(..rest.count());
        taken
    }

    /// Takes in what was read again. Returns what was not found: somebody else has deleted it.
    pub(crate) fn reloaded(
        &mut self,
        wanted: &[(LaneId, Place)],
        found: Vec<FoundEvent>,
        now: Instant,
    ) -> Vec<Place> {
        let mut gone = Vec::new();
        let mut found: HashMap<Place, FoundEvent> = found
            .into_iter()
            .map(|event| (event.place, event))
            .collect();
        let mut touched = Vec::new();
        for (id, place) in wanted {
            let Some(lane) = self.by_id.get_mut(id) else {
                continue;
            };
            if touched.last() != Some(id) {
                touched.push(*id);
            }
            let at = lane.events.iter().position(|event| event.place == *place);
            let Some(event) = at.and_then(|at| lane.events.get_mut(at)) else {
                continue;
            };
            match found.remove(place).map(|found| found.message) {
                Some(Ok(message)) => {
                    event.content = Content::Loaded(Box::new(message));
                    self.loaded.events += 1;
                    self.loaded.bytes += event.size;
                }
                Some(Err(reason)) => event.content = Content::Unreadable(reason),
                None => {
                    self.known.remove(place);
                    gone.push(*place);
                    lane.events.retain(|event| event.place != *place);
                }
            }
        }
        for id in touched {
            let lane = self.by_id.get(&id);
            if lane.is_some_and(|lane| lane.state == State::Loading) {
                self.start(id, now);
            }
        }
        gone
    }

    /// Asks again for what could not be read.
    pub(crate) fn want_again(&mut self, wanted: Vec<(LaneId, Place)>) {
        self.wanted.extend(wanted);
    }
}
