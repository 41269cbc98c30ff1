//! The events in hand: one queue for each ordering key.
//!
//! An event stays at its place in the queue until it is confirmed or given up. What waits for long
//! is kept as a number alone, and read again when its turn comes.

mod outcome;
mod rereading;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

pub(super) use self::outcome::Stay;
use crate::message::Message;
use crate::shard::{SHARDS, ShardSet};
use crate::store::{FoundEvent, NewDeadLetter, Place};

/// How many events of one key are read again at once.
const LOADED_AGAIN: usize = 100;

/// Names a queue for as long as it has events.
pub(super) type LaneId = u64;

#[derive(Debug, Default)]
pub(super) struct Lanes {
    by_id: HashMap<LaneId, Lane>,
    by_key: HashMap<Arc<str>, LaneId>,
    next: LaneId,
    /// All events in the queues. One that was replayed has its ID twice for a while.
    known: HashSet<Place>,
    /// Each name once, however many events have it.
    topics: HashSet<Arc<str>>,
    ready: VecDeque<LaneId>,
    waiting: BTreeSet<(Instant, LaneId)>,
    /// What to read again.
    wanted: Vec<(LaneId, Place)>,
    /// Rows that can't be read as events, and whose turn has come.
    unreadable: Vec<NewDeadLetter>,
    loaded: Amount,
    /// How many events of each shard are with a publisher or not settled yet.
    busy: Busy,
}

#[derive(Debug)]
struct Busy([u32; SHARDS as usize]);

impl Default for Busy {
    fn default() -> Self {
        Self([0; SHARDS as usize])
    }
}

/// How much is in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

#[derive(Debug)]
struct Lane {
    key: Option<Arc<str>>,
    shard: u8,
    events: VecDeque<Event>,
    state: State,
    /// Another relay has its shard: the queue ends with what the publisher has of it.
    is_lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    /// Its first events are being read again.
    Loading,
    /// That many of its first events are with a publisher.
    Sent(usize),
    Waiting(Instant),
    /// Its first event is being written as a dead letter. Until that is done the others wait: after
    /// a crash in between, the first one would be published after them.
    Burying,
}

#[derive(Debug)]
struct Event {
    place: Place,
    /// Empty if the row can't be read.
    topic: Arc<str>,
    attempts: u32,
    /// Not to be sent before this time.
    retry_at: Option<Instant>,
    /// Its call ended without a verdict on it: it may be what brought the call down, so it gets a
    /// call of its own.
    is_suspect: bool,
    size: usize,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Loaded(Box<Message>),
    Unreadable(String),
    /// In the database, or with the publisher.
    Away,
}

/// The first events of a queue, on their way to a publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) lane: LaneId,
    pub(super) count: usize,
}

/// What a publisher gets next.
#[derive(Debug, Default)]
pub(super) struct NextBatch {
    pub(super) messages: Vec<Message>,
    /// Of the messages.
    pub(super) places: Vec<Place>,
    pub(super) parts: Vec<Part>,
}

/// An event that left its queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) place: Place,
    pub(super) topic: Arc<str>,
    pub(super) shard: u8,
    /// How often it had failed before.
    pub(super) attempts: u32,
}

impl Lanes {
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// How many events are in the queues, in memory or not.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// What of them is in memory.
    pub(super) const fn loaded(&self) -> Amount {
        self.loaded
    }

    pub(super) fn knows(&self, place: &Place) -> bool {
        self.known.contains(place)
    }

    /// The shards of which something is with a publisher or not settled.
    pub(super) fn busy(&self) -> ShardSet {
        let busy = (0..SHARDS).filter(|shard| self.busy.0[usize::from(*shard)] > 0);
        busy.fold(ShardSet::NONE, ShardSet::with)
    }

    /// When the next event that waits is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.first().map(|(due, _)| *due)
    }

    /// Adds an event to the end of its queue, unless it is in it. At most `most_loaded` events of
    /// one queue are kept in memory.
    pub(super) fn arrive(&mut self, found: FoundEvent, now: Instant, most_loaded: usize) -> bool {
        if !self.known.insert(found.place) {
            return false;
        }
        let message = found.message.as_ref().ok();
        let topic = self.topic(message.map_or("", |message| &message.topic));
        let key = message.and_then(|message| message.key.as_deref());
        let id = self.lane_of(key, found.shard);
        let Some(lane) = self.by_id.get_mut(&id) else {
            return false;
        };
        let retry_at = found.retry_in.map(|delay| now + delay);
        let is_first = lane.events.is_empty() && lane.state == State::Ready;
        let content = match found.message {
            Err(reason) => Content::Unreadable(reason),
            Ok(message) => {
                let waits = matches!(lane.state, State::Waiting(_) | State::Loading)
                    || is_first && retry_at.is_some_and(|at| at > now)
                    || lane.has_unread();
                if waits || lane.events.len() >= most_loaded {
                    Content::Away
                } else {
                    self.loaded.events += 1;
                    self.loaded.bytes += found.size;
                    Content::Loaded(Box::new(message))
                }
            }
        };
        lane.events.push_back(Event {
            place: found.place,
            topic,
            attempts: found.attempts,
            retry_at,
            is_suspect: false,
            size: found.size,
            content,
        });
        if is_first {
            self.start(id, now);
        }
        true
    }

    fn topic(&mut self, name: &str) -> Arc<str> {
        if let Some(topic) = self.topics.get(name) {
            return topic.clone();
        }
        let topic: Arc<str> = name.into();
        self.topics.insert(topic.clone());
        topic
    }

    fn lane_of(&mut self, key: Option<&str>, shard: u8) -> LaneId {
        if let Some(id) = key.and_then(|key| self.by_key.get(key)) {
            return *id;
        }
        self.next += 1;
        let key: Option<Arc<str>> = key.map(Into::into);
        if let Some(key) = &key {
            self.by_key.insert(key.clone(), self.next);
        }
        let lane = Lane {
            key,
            shard,
            events: VecDeque::with_capacity(1),
            state: State::Ready,
            is_lost: false,
        };
        self.by_id.insert(self.next, lane);
        self.next
    }

    /// Makes a queue ready, or lets it wait for its first event's time. Removes an empty queue.
    fn start(&mut self, id: LaneId, now: Instant) {
        let Some(lane) = self.by_id.get_mut(&id) else {
            return;
        };
        let Some(first) = lane.events.front() else {
            if let Some(key) = self.by_id.remove(&id).and_then(|lane| lane.key) {
                self.by_key.remove(&key);
            }
            return;
        };
        if let Some(at) = first.retry_at.filter(|at| *at > now) {
            lane.state = State::Waiting(at);
            self.waiting.insert((at, id));
            self.put_away(id);
        } else {
            lane.state = State::Ready;
            self.ready.push_back(id);
        }
    }

    /// Makes ready what is due.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some(&(due, id)) = self.waiting.first() {
            if due > now {
                break;
            }
            self.waiting.pop_first();
            self.start(id, now);
        }
    }

    /// The next events to publish: as many of each ready queue as the limits allow. Notes what has
    /// to be read again first, and what can't be sent at all.
    pub(super) fn next_batch(&mut self, most: Amount) -> NextBatch {
        let mut batch = NextBatch::default();
        let NextBatch {
            messages,
            places,
            parts,
        } = &mut batch;
        let mut bytes = 0;
        while let Some(&id) = self.ready.front() {
            if messages.len() >= most.events || bytes >= most.bytes {
                break;
            }
            let Some(lane) = self.by_id.get_mut(&id) else {
                self.ready.pop_front();
                continue;
            };
            let is_ready = lane.state == State::Ready;
            let Some(first) = lane.events.front().filter(|_| is_ready) else {
                self.ready.pop_front();
                continue;
            };
            match &first.content {
                Content::Unreadable(reason) => {
                    self.unreadable.push(NewDeadLetter {
                        place: first.place,
                        shard: lane.shard,
                        attempts: first.attempts,
                        reason: reason.clone(),
                    });
                    lane.state = State::Burying;
                    self.busy.0[usize::from(lane.shard % SHARDS)] += 1;
                    self.ready.pop_front();
                    continue;
                }
                Content::Away => {
                    let again = lane.events.iter().take(LOADED_AGAIN);
                    let again = again.filter(|event| matches!(event.content, Content::Away));
                    self.wanted.extend(again.map(|event| (id, event.place)));
                    lane.state = State::Loading;
                    self.ready.pop_front();
                    continue;
                }
                Content::Loaded(_) => {}
            }
            let is_suspect = first.is_suspect;
            if is_suspect && !messages.is_empty() {
                break;
            }
            let mut count = 0;
            for event in &mut lane.events {
                let full = messages.len() >= most.events || bytes >= most.bytes;
                let waits = event.retry_at.is_some() && count > 0;
                if full || waits || (event.is_suspect || is_suspect) && count > 0 {
                    break;
                }
                match std::mem::replace(&mut event.content, Content::Away) {
                    Content::Loaded(message) => {
                        messages.push(*message);
                        places.push(event.place);
                    }
                    other => {
                        event.content = other;
                        break;
                    }
                }
                bytes += event.size;
                count += 1;
            }
            lane.state = State::Sent(count);
            self.busy.0[usize::from(lane.shard % SHARDS)] += u32::try_from(count).unwrap_or(0);
            parts.push(Part { lane: id, count });
            self.ready.pop_front();
            if is_suspect {
                break;
            }
        }
        batch
    }

    /// What can't be sent.
    pub(super) fn take_unreadable(&mut self) -> Vec<NewDeadLetter> {
        std::mem::take(&mut self.unreadable)
    }
}
