//! From the outbox into the queues.

use std::time::Duration;

use tokio::time::Instant;

use super::database::LookAsk;
use super::process::Process;
use super::progress::{FULL_LOOK_PAUSE, SPACING};
use super::rule::Rule;
use super::scene::Scene;
use super::statement::{Ask, FULL_LOOK};
use crate::relay::lanes::Amount;
use crate::shard::ShardSet;
use crate::store::{Limit, Look, Place};

/// Small, so that limits are met all the time.
pub(super) const BATCH: Amount = Amount {
    events: 4,
    bytes: 40,
};
const IN_HAND: Amount = Amount {
    events: 12,
    bytes: 150,
};
const LOOK: usize = 5;
const MOST_LOADED: usize = 3;
const POLL_INTERVAL: Duration = Duration::from_millis(20);

impl Process {
    pub(super) fn start_reading(&mut self, now: Instant) {
        let shards = self.membership.shards(now);
        if self.is_out(now) {
            return;
        }
        self.start_rereading();
        if shards.is_empty() {
            return;
        }
        if !self.reading.is_looking && now >= self.reading.next_look && self.has_room() {
            self.look(shards, now);
        }
        let full = &self.reading.full;
        let is_due = !full.is_running && now >= full.next && self.reading.cursor.position() > 0;
        if is_due && self.rule.has_full_look() {
            let full = &mut self.reading.full;
            full.is_running = true;
            full.after = i64::MIN;
            full.up_to = self.reading.cursor.position();
            full.settled.clear();
            full.surprises = 0;
            self.read_places(shards);
        }
    }

    fn room(&self) -> (usize, usize) {
        let loaded = self.lanes.loaded();
        let unsettled = self.unsettled.confirmed.len() + self.unsettled.dead.len();
        let events = IN_HAND.events.saturating_sub(loaded.events + unsettled);
        (events, IN_HAND.bytes.saturating_sub(loaded.bytes))
    }

    fn has_room(&self) -> bool {
        let (events, bytes) = self.room();
        events >= LOOK.min(IN_HAND.events / 2) && bytes >= IN_HAND.bytes / 4
    }

    fn look(&mut self, shards: ShardSet, now: Instant) {
        let (events, bytes) = self.room();
        let rule = self.rule;
        let reading = &mut self.reading;
        if rule == Rule::Everything {
            reading.cursor.restart();
        }
        reading.is_looking = true;
        reading.looked_at = now;
        let limit = if rule == Rule::Everything {
            Limit {
                events: u32::MAX,
                bytes: u64::MAX,
            }
        } else {
            Limit {
                events: u32::try_from(events.min(LOOK)).unwrap_or(u32::MAX),
                bytes: bytes as u64,
            }
        };
        let ask = LookAsk {
            shards,
            cursor: reading.cursor.position(),
            unseen: reading.cursor.unseen(),
            limit,
            with_attempts: reading.cursor.position() < reading.attempts_up_to,
        };
        let generation = reading.generation;
        self.ask(Ask::Look {
            generation,
            ask,
            first: None,
        });
    }

    pub(super) fn looked(&mut self, generation: u64, look: Option<Look>, scene: &mut Scene) {
        let (now, rule) = (scene.now, self.rule);
        let reading = &mut self.reading;
        reading.is_looking = false;
        let Some(look) = look else {
            return;
        };
        if generation != reading.generation && rule != Rule::StaleLooks {
            // Its cursor and its shards are not those of now.
            return;
        }
        let found: Vec<i64> = look.rows.iter().map(|row| row.seq).collect();
        let restarted = reading.cursor.position() == 0;
        let passed = reading.cursor.saw(&found, look.horizon);
        if matches!(rule, Rule::FullLookOnly | Rule::NoSecondLook) {
            let unseen = reading.cursor.unseen();
            reading.cursor.give_up(&unseen);
        }
        if reading.attempts_up_to == i64::MAX && !look.more {
            reading.attempts_up_to = reading.cursor.position();
        }
        reading.next_look = if look.more {
            now
        } else if !found.is_empty() || restarted {
            reading.looked_at + SPACING
        } else {
            now + POLL_INTERVAL
        };
        if !passed.is_empty() {
            self.ask(Ask::GiveUp(passed));
        }
        let shards = if rule == Rule::DropsWhileLapsed {
            self.membership.shards(now)
        } else {
            self.membership.selected()
        };
        for event in look.rows.into_iter().filter_map(|row| row.event) {
            if shards.contains(event.shard) {
                self.lanes.arrive(event, now, MOST_LOADED);
            }
        }
    }

    fn start_rereading(&mut self) {
        let (events, bytes) = self.room();
        if self.reading.is_rereading || events == 0 || bytes == 0 {
            return;
        }
        let wanted = self.lanes.take_wanted(Amount {
            events: events.min(BATCH.events),
            bytes: usize::MAX,
        });
        if !wanted.is_empty() {
            self.reading.is_rereading = true;
            self.ask(Ask::Read(wanted));
        }
    }

    fn read_places(&mut self, shards: ShardSet) {
        let full = &self.reading.full;
        let (generation, after, up_to) = (full.generation, full.after, full.up_to);
        self.ask(Ask::Places {
            generation,
            shards,
            after,
            up_to,
        });
    }

    pub(super) fn full_look(
        &mut self,
        generation: u64,
        places: Option<Vec<Place>>,
        scene: &mut Scene,
    ) {
        if generation != self.reading.full.generation {
            return;
        }
        let now = scene.now;
        let reading = &mut self.reading;
        let Some(places) = places else {
            reading.full.is_running = false;
            reading.full.next = now + FULL_LOOK_PAUSE;
            return;
        };
        let unknown = places.iter().filter(|place| {
            !self.lanes.knows(place)
                && !reading.full.settled.contains(&place.id)
                && !reading.cursor.expects(place.seq)
        });
        reading.full.surprises += unknown.count() as u64;
        if let Some(last) = places.last().filter(|_| places.len() >= FULL_LOOK) {
            reading.full.after = last.seq;
            let shards = self.membership.shards(now);
            self.read_places(shards);
            return;
        }
        reading.full.is_running = false;
        reading.full.next = now + FULL_LOOK_PAUSE;
        let surprises = reading.full.surprises;
        if surprises > 0 {
            let is_explained = reading.is_from_before_reset;
            if !is_explained && self.rule != Rule::FullLookOnly {
                scene.history.counts.surprises += 1;
            }
            let number = self.number;
            scene.note(|| format!("relay {number}: {surprises} surprises, {is_explained}"));
            reading.restart(now);
        }
    }
}
