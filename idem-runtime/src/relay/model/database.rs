//! A database with an outbox, as far as relays can tell one from another. Each method is one
//! statement, on one snapshot.

use std::collections::BTreeMap;
use std::fmt;

use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::time::Instant;
use uuid::Uuid;

use super::history::{EventNumber, History, Kind, id_of, number_of};
use super::scene::Scene;
use crate::event::EventId;
use crate::message::Message;
use crate::relay::lanes::Left;
use crate::shard::{ShardSet, shard_of};
use crate::store::{
    Changes, FailedAttempt, FoundEvent, FoundRow, Horizon, Limit, Look, Member, NewDeadLetter,
    Place, SeqRange, Topics,
};

#[derive(Debug)]
pub(super) struct Database {
    rows: BTreeMap<i64, Row>,
    transactions: Vec<Transaction>,
    next_seq: i64,
    next_xid: u64,
    attempts: BTreeMap<Uuid, (u32, Instant)>,
    dead: Vec<Row>,
    relays: Vec<RelayRow>,
    /// A transaction draws its first number before it has an xid.
    pub(super) numbers_first: bool,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    event: EventNumber,
    key: Option<u8>,
    kind: Kind,
    shard: u8,
    size: usize,
}

#[derive(Debug)]
struct Transaction {
    /// Locked until its end, so what is emitted under one of them is ordered.
    keys: Vec<u8>,
    xid: Option<u64>,
    drawn: Vec<(i64, Row)>,
    wants: usize,
}

#[derive(Debug)]
struct RelayRow {
    owner: Uuid,
    shards: ShardSet,
    until: Instant,
    is_gone: bool,
}

/// What a look asks for.
#[derive(Debug)]
pub(super) struct LookAsk {
    pub(super) shards: ShardSet,
    pub(super) cursor: i64,
    pub(super) unseen: Vec<SeqRange>,
    pub(super) limit: Limit,
    pub(super) with_attempts: bool,
}

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) confirmed: Vec<Left>,
    pub(super) failed: Vec<FailedAttempt>,
    /// With whether its queue waits for it.
    pub(super) dead: Vec<(NewDeadLetter, bool)>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.confirmed.is_empty() && self.failed.is_empty() && self.dead.is_empty()
    }
}

/// What a step of the transactions did.
pub(super) enum Step {
    Nothing,
    Began(Vec<u8>),
    Xid(u64),
    Drew(i64, EventNumber),
    Committed(Vec<i64>),
    RolledBack(Vec<i64>),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Began(keys) => write!(f, "a transaction locks the keys {keys:?}"),
            Self::Xid(xid) => write!(f, "xid {xid}"),
            Self::Drew(seq, event) => write!(f, "number {seq} for event {event}"),
            Self::Committed(numbers) => write!(f, "committed {numbers:?}"),
            Self::RolledBack(numbers) => write!(f, "rolled back {numbers:?}"),
        }
    }
}

impl Database {
    pub(super) const fn new() -> Self {
        Self {
            rows: BTreeMap::new(),
            transactions: Vec::new(),
            next_seq: 1,
            next_xid: 100,
            attempts: BTreeMap::new(),
            dead: Vec::new(),
            relays: Vec::new(),
            numbers_first: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.transactions.is_empty()
    }

    /// One step of a random transaction, or a new one. `ordered`: whether what is committed now has
    /// a place in the order of its key.
    pub(super) fn step(&mut self, scene: &mut Scene, is_closing: bool, ordered: bool) -> Step {
        let (style, rng, history) = (scene.style, &mut scene.rng, &mut scene.history);
        let running = self.transactions.len();
        let begins = running < style.transactions && rng.random_ratio(1, 4);
        if !is_closing && (running == 0 || begins) {
            return self.begin(style.keys, rng);
        }
        if running == 0 {
            return Step::Nothing;
        }
        let at = rng.random_range(0..running);
        let transaction = &mut self.transactions[at];
        let first_number = self.numbers_first && transaction.drawn.is_empty();
        if transaction.xid.is_none() && !first_number {
            transaction.xid = Some(self.next_xid);
            self.next_xid += 1;
            return Step::Xid(self.next_xid - 1);
        }
        if transaction.drawn.len() < transaction.wants {
            let keys = &transaction.keys;
            let key = (!keys.is_empty()).then(|| keys[rng.random_range(0..keys.len())]);
            let kind = match rng.random_range(0..100) {
                roll if roll < style.poison => Kind::Poison,
                98.. => Kind::Unreadable,
                _ => Kind::Sound,
            };
            let event = history.emit(key, kind);
            let name = key.map(|key| format!("k{key}"));
            let row = Row {
                event,
                key,
                kind,
                shard: shard_of(name.as_deref(), id_of(event)),
                size: rng.random_range(1..20),
            };
            let seq = self.next_seq;
            self.next_seq += 1;
            transaction.drawn.push((seq, row));
            return Step::Drew(seq, event);
        }
        let ended = self.transactions.swap_remove(at);
        let numbers = ended.drawn.iter().map(|(seq, _)| *seq).collect();
        if rng.random_ratio(1, 6) {
            return Step::RolledBack(numbers);
        }
        for (seq, row) in ended.drawn {
            history.commit(row.event, ordered);
            let before = self.rows.insert(seq, row);
            assert!(before.is_none(), "number {seq} twice");
        }
        Step::Committed(numbers)
    }

    fn begin(&mut self, keys: u8, rng: &mut StdRng) -> Step {
        let locked = |key: &u8| self.transactions.iter().any(|one| one.keys.contains(key));
        let (all, mut keys) = (keys, Vec::new());
        for _ in 0..rng.random_range(0..=2) {
            let key = rng.random_range(0..all);
            if !locked(&key) && !keys.contains(&key) {
                keys.push(key);
            }
        }
        self.transactions.push(Transaction {
            keys: keys.clone(),
            xid: None,
            drawn: Vec::new(),
            wants: rng.random_range(1..=3),
        });
        Step::Began(keys)
    }

    /// Begins the numbers anew, as `TRUNCATE ... RESTART IDENTITY` does when nobody is in its way.
    pub(super) fn reset_sequence(&mut self) -> bool {
        let is_used = self.transactions.iter().any(|one| !one.drawn.is_empty());
        if is_used || !self.is_empty() {
            return false;
        }
        self.next_seq = 1;
        true
    }

    /// Brings some dead letters back.
    pub(super) fn replay(&mut self, scene: &mut Scene) -> Vec<i64> {
        let count = scene.rng.random_range(0..=self.dead.len());
        let mut numbers = Vec::new();
        for mut row in self.dead.drain(..count) {
            scene.history.replay(row.event);
            row.kind = Kind::Sound;
            self.rows.insert(self.next_seq, row);
            numbers.push(self.next_seq);
            self.next_seq += 1;
        }
        numbers
    }

    pub(super) fn horizon(&self) -> Horizon {
        let running = self.transactions.iter().filter_map(|one| one.xid).min();
        Horizon {
            mark: self.next_xid,
            passed: running.unwrap_or(self.next_xid),
        }
    }

    pub(super) fn look(&self, ask: &LookAsk, now: Instant) -> Look {
        let unseen = ask.unseen.iter();
        let unseen = unseen.flat_map(|range| self.rows.range(range.first..=range.last));
        let mut rows: Vec<_> = unseen
            .map(|(seq, row)| self.found_row(*seq, row, ask, now))
            .collect();
        let (mut read, mut bytes) = (0, 0);
        for (seq, row) in self.rows.range(ask.cursor + 1..) {
            if read >= ask.limit.events || bytes >= ask.limit.bytes {
                break;
            }
            let row = self.found_row(*seq, row, ask, now);
            read += 1;
            bytes += row.event.as_ref().map_or(0, |event| event.size as u64);
            rows.push(row);
        }
        Look {
            rows,
            more: read >= ask.limit.events || bytes >= ask.limit.bytes,
            horizon: self.horizon(),
        }
    }

    fn found_row(&self, seq: i64, row: &Row, ask: &LookAsk, now: Instant) -> FoundRow {
        let is_own = ask.shards.contains(row.shard);
        FoundRow {
            seq,
            event: is_own.then(|| self.found(seq, row, ask.with_attempts, now)),
        }
    }

    fn found(&self, seq: i64, row: &Row, with_attempts: bool, now: Instant) -> FoundEvent {
        let id = id_of(row.event);
        let attempts = self.attempts.get(&id).filter(|_| with_attempts);
        let message = if row.kind == Kind::Unreadable {
            Err("no message".into())
        } else {
            let mut message = Message::new(EventId::new(id), "t", "T", "");
            message.key = row.key.map(|key| format!("k{key}"));
            Ok(message)
        };
        FoundEvent {
            place: Place { seq, id },
            shard: row.shard,
            attempts: attempts.map_or(0, |(attempts, _)| *attempts),
            retry_in: attempts.map(|(_, at)| at.saturating_duration_since(now)),
            size: row.size,
            message,
        }
    }

    pub(super) fn read(&self, places: &[Place], now: Instant) -> Vec<FoundEvent> {
        let rows = places.iter().filter_map(|place| {
            let row = self.rows.get(&place.seq)?;
            (id_of(row.event) == place.id).then(|| self.found(place.seq, row, false, now))
        });
        rows.collect()
    }

    pub(super) fn places(
        &self,
        shards: ShardSet,
        after: i64,
        up_to: i64,
        limit: usize,
    ) -> Vec<Place> {
        let after = after.max(0) + 1;
        if after > up_to {
            return Vec::new();
        }
        let above = self.rows.range(after..=up_to);
        let rows = above.filter(|(_, row)| shards.contains(row.shard));
        rows.take(limit)
            .map(|(seq, row)| Place {
                seq: *seq,
                id: id_of(row.event),
            })
            .collect()
    }

    pub(super) fn settle(
        &mut self,
        owner: Uuid,
        batch: &Batch,
        now: Instant,
        history: &mut History,
    ) -> bool {
        let shards = batch.failed.iter().map(|failed| failed.shard);
        let shards = shards.chain(batch.dead.iter().map(|(dead, _)| dead.shard));
        let needed = shards.fold(ShardSet::NONE, ShardSet::with);
        let mut rows = self.relays.iter();
        let theirs = rows.find(|row| row.owner == owner).map(|row| row.shards);
        let is_owner = needed.without(theirs.unwrap_or_default()).is_empty();
        for left in &batch.confirmed {
            self.take(left.place);
            self.attempts.remove(&left.place.id);
        }
        if is_owner {
            for failed in &batch.failed {
                let retry_at = now + failed.delay;
                self.attempts
                    .insert(failed.place.id, (failed.attempts, retry_at));
            }
            for (dead, _) in &batch.dead {
                if let Some(row) = self.take(dead.place) {
                    history.bury(row.event);
                    self.dead.push(row);
                }
                self.attempts.remove(&dead.place.id);
            }
        }
        is_owner
    }

    fn take(&mut self, place: Place) -> Option<Row> {
        let row = self.rows.get(&place.seq)?;
        (row.event == number_of(place.id)).then_some(())?;
        self.rows.remove(&place.seq)
    }

    pub(super) fn coordinate(&mut self, now: Instant, decide: impl FnOnce(&[Member]) -> Changes) {
        let changes = decide(&self.members(now));
        self.relays
            .retain(|row| !changes.remove.contains(&row.owner));
        if let Some(put) = changes.put {
            self.relays.retain(|row| row.owner != put.owner);
            self.relays.push(RelayRow {
                owner: put.owner,
                shards: put.shards,
                until: now + put.lease,
                is_gone: false,
            });
        }
    }

    pub(super) fn members(&self, now: Instant) -> Vec<Member> {
        let member = |row: &RelayRow| Member {
            target: "default".into(),
            owner: row.owner,
            topics: Topics::default(),
            shards: row.shards,
            is_alive: row.until > now && !row.is_gone,
        };
        self.relays.iter().map(member).collect()
    }

    /// The session of a relay is gone, and others can see it.
    pub(super) fn session_gone(&mut self, owner: Uuid) {
        for row in self.relays.iter_mut().filter(|row| row.owner == owner) {
            row.is_gone = true;
        }
    }
}
