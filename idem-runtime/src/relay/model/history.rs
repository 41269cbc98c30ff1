//! What was committed and what a broker got of it: the promises of the relay as a checker.

use std::collections::BTreeMap;

use uuid::Uuid;

/// An event is known by its number, in the order in which events were emitted.
pub(super) type EventNumber = usize;

/// How it fares with any publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sound,
    /// Every publisher refuses it for good.
    Poison,
    /// The row is no message.
    Unreadable,
}

#[derive(Debug, Default)]
pub(super) struct History {
    events: Vec<Fate>,
    /// The events of each key in the order of their commits.
    keys: BTreeMap<u8, Vec<EventNumber>>,
    pub(super) counts: Counts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) published: u64,
    pub(super) repeated: u64,
    /// Published for the first time while an earlier one of the key was not.
    pub(super) reordered: u64,
    /// Committed, and neither published nor a dead letter when all was over.
    pub(super) skipped: u64,
    /// Found by the full look though no sequence was reset.
    pub(super) surprises: u64,
    /// Left over in the outbox, in memory or in the counters.
    pub(super) leaks: u64,
}

impl Counts {
    pub(super) const fn faults(&self) -> u64 {
        self.reordered + self.skipped + self.surprises + self.leaks
    }

    pub(super) const fn add(&mut self, other: &Self) {
        self.published += other.published;
        self.repeated += other.repeated;
        self.reordered += other.reordered;
        self.skipped += other.skipped;
        self.surprises += other.surprises;
        self.leaks += other.leaks;
    }
}

#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is true or not, whatever the others are"
)]
struct Fate {
    key: Option<u8>,
    kind: Kind,
    is_committed: bool,
    is_published: bool,
    is_dead: bool,
    /// It has no place in the order of its key, or lost it.
    is_unordered: bool,
}

pub(super) fn id_of(event: EventNumber) -> Uuid {
    Uuid::from_u128(event as u128 + 1)
}

pub(super) fn number_of(id: Uuid) -> EventNumber {
    usize::try_from(id.as_u128() - 1).expect("an event of this run")
}

impl History {
    pub(super) fn emit(&mut self, key: Option<u8>, kind: Kind) -> EventNumber {
        self.events.push(Fate {
            key,
            kind,
            is_committed: false,
            is_published: false,
            is_dead: false,
            is_unordered: kind != Kind::Sound,
        });
        self.events.len() - 1
    }

    pub(super) fn key(&self, event: EventNumber) -> Option<u8> {
        self.events[event].key
    }

    pub(super) fn kind(&self, event: EventNumber) -> Kind {
        self.events[event].kind
    }

    pub(super) fn commit(&mut self, event: EventNumber, is_ordered: bool) {
        let fate = &mut self.events[event];
        fate.is_committed = true;
        fate.is_unordered |= !is_ordered;
        if let Some(key) = fate.key {
            self.keys.entry(key).or_default().push(event);
        }
    }

    /// A broker got it. `false`: before an earlier one of its key.
    pub(super) fn publish(&mut self, event: EventNumber) -> bool {
        let fate = &mut self.events[event];
        if std::mem::replace(&mut fate.is_published, true) {
            self.counts.repeated += 1;
            return true;
        }
        self.counts.published += 1;
        let (key, is_unordered) = (fate.key, fate.is_unordered);
        let of_key = key.and_then(|key| self.keys.get(&key));
        let mut earlier = of_key.into_iter().flatten();
        let overtakes = earlier
            .by_ref()
            .take_while(|earlier| **earlier != event)
            .any(|earlier| {
                let earlier = &self.events[*earlier];
                !earlier.is_published && !earlier.is_unordered
            });
        let is_fault = overtakes && !is_unordered;
        self.counts.reordered += u64::from(is_fault);
        !is_fault
    }

    pub(super) fn bury(&mut self, event: EventNumber) {
        let fate = &mut self.events[event];
        fate.is_dead = true;
        fate.is_unordered = true;
    }

    /// A dead letter goes back, mended.
    pub(super) fn replay(&mut self, event: EventNumber) {
        let fate = &mut self.events[event];
        fate.is_dead = false;
        fate.kind = Kind::Sound;
    }

    /// Counts what was lost, now that all is over.
    pub(super) fn close(&mut self) -> Vec<EventNumber> {
        let lost = |fate: &Fate| fate.is_committed && !fate.is_published && !fate.is_dead;
        let events = self.events.iter().enumerate();
        let lost: Vec<_> = events
            .filter(|(_, fate)| lost(fate))
            .map(|(event, _)| event)
            .collect();
        self.counts.skipped += lost.len() as u64;
        lost
    }
}
