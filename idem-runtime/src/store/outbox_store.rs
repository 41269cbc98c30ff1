//! What a database must do for the relay.

use std::fmt;
use std::future::Future;
use std::time::{Duration, SystemTime};

use sqlx::Pool;
use uuid::Uuid;

use super::membership::{Changes, Member, RelaySession, Topics};
use super::{Home, Store};
use crate::event::EventId;
use crate::message::Message;
use crate::shard::ShardSet;

/// The outbox as relays read and empty it, who they are, and the dead letters.
///
/// A row of the outbox is inserted and deleted, and never updated. After an error that the server
/// reported, each method leaves the connection as a pool hands it out.
#[doc(hidden)]
pub trait OutboxStore: Store {
    /// What a relay holds for as long as it lives. Others see when it is gone.
    type Session: RelaySession;

    /// Opens a session of its own for a relay, on a connection that is not the pool's.
    fn open_session(
        pool: &Pool<Self>,
        home: &Home,
        owner: Uuid,
    ) -> impl Future<Output = Result<Self::Session, sqlx::Error>> + Send;

    /// All relays of this outbox, of every target. Changes nothing and locks nothing.
    fn members(
        conn: &mut Self::Connection,
        home: &Home,
    ) -> impl Future<Output = Result<Vec<Member>, sqlx::Error>> + Send;

    /// The same, one relay of this outbox at a time, and makes the changes that `decide` asks for,
    /// in one transaction.
    fn coordinate<T: Send>(
        conn: &mut Self::Connection,
        home: &Home,
        decide: impl FnOnce(&[Member]) -> (Changes, T) + Send,
    ) -> impl Future<Output = Result<T, sqlx::Error>> + Send;

    /// Reads the rows past the cursor, and those of the numbers that were not seen before. One
    /// statement on one snapshot: two would let an event overtake an earlier one of its key.
    fn look(
        conn: &mut Self::Connection,
        home: &Home,
        args: &LookArgs<'_>,
    ) -> impl Future<Output = Result<Look, sqlx::Error>> + Send;

    /// Whether it takes a statement to know that no transaction can still commit a number that the
    /// look's horizon has passed.
    const ASKS_FOR_MISSING: bool = false;

    /// Of these numbers, which no row has, and which the look's horizon has passed: those that no
    /// transaction can still commit.
    fn never_committed(
        conn: &mut Self::Connection,
        home: &Home,
        missing: &[SeqRange],
    ) -> impl Future<Output = Result<Vec<SeqRange>, sqlx::Error>> + Send {
        let _ = (conn, home);
        std::future::ready(Ok(missing.to_vec()))
    }

    /// Reads these events again, in order of their numbers; those that are still there.
    fn read(
        conn: &mut Self::Connection,
        home: &Home,
        places: &[Place],
    ) -> impl Future<Output = Result<Vec<FoundEvent>, sqlx::Error>> + Send;

    /// At most `limit` places of this selection with a number above `after` and up to `up_to`, in
    /// order.
    fn places(
        conn: &mut Self::Connection,
        home: &Home,
        selection: &Selection<'_>,
        after: i64,
        up_to: i64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Place>, sqlx::Error>> + Send;

    /// Whether the outbox has any event of these topics.
    fn has_events(
        conn: &mut Self::Connection,
        home: &Home,
        topics: &Topics,
    ) -> impl Future<Output = Result<bool, sqlx::Error>> + Send;

    /// Deletes what was published, whoever owns it now: by number and ID, since a sequence that was
    /// reset gives a number twice. Writes attempts and dead letters, all of them and only if the
    /// shards of all of them are still this owner's. `false`: they are not, and none is written.
    ///
    /// One transaction. Calling it twice has the same effect as calling it once.
    fn settle(
        conn: &mut Self::Connection,
        home: &Home,
        settlement: &Settlement<'_>,
    ) -> impl Future<Output = Result<bool, sqlx::Error>> + Send;

    /// For each topic that has any, what waits and how many dead letters there are. One snapshot
    /// and the database's clock decide for all of them.
    fn backlog(
        conn: &mut Self::Connection,
        home: &Home,
    ) -> impl Future<Output = Result<Vec<TopicBacklog>, sqlx::Error>> + Send;

    /// How many dead letters there are.
    fn count_dead_letters(
        conn: &mut Self::Connection,
        home: &Home,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// The dead letters after this number, in order.
    fn dead_letters(
        conn: &mut Self::Connection,
        home: &Home,
        after: i64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<DeadLetterRow>, sqlx::Error>> + Send;

    /// Moves at most `limit` dead letters of relays back into the outbox, in their order, under
    /// their IDs and new numbers; how many.
    fn requeue(
        conn: &mut Self::Connection,
        home: &Home,
        filter: DeadLetterFilter<'_>,
        limit: u32,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// Wakes the relays of other processes, where the database can.
    fn notify(
        conn: &mut Self::Connection,
        home: &Home,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        let _ = (conn, home);
        std::future::ready(Ok(()))
    }

    /// Whether [`notify`](Self::notify) does anything.
    const NOTIFIES: bool = false;
}

/// Which events are a relay's.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    pub(crate) shards: ShardSet,
    pub(crate) topics: &'a Topics,
}

/// What to read.
#[derive(Debug)]
pub struct LookArgs<'a> {
    /// Whose attempts to read, if any.
    pub(crate) target: &'a str,
    pub(crate) selection: Selection<'a>,
    /// Rows above this number.
    pub(crate) cursor: i64,
    /// And rows with these numbers, below the cursor, however many.
    pub(crate) unseen: &'a [SeqRange],
    pub(crate) limit: Limit,
    /// Whether events may have failed before. Of those that a running relay sees for the first time
    /// none has.
    pub(crate) with_attempts: bool,
}

/// Numbers of the outbox, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeqRange {
    pub(crate) first: i64,
    pub(crate) last: i64,
}

/// How many rows past the cursor one look may read, and how many bytes of the relay's own events.
/// The last event may exceed the bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) events: u32,
    pub(crate) bytes: u64,
}

impl Limit {
    /// Whether a look that read this much past the cursor may have been cut short.
    pub(crate) const fn reached(self, events: u32, bytes: u64) -> bool {
        events >= self.events || bytes >= self.bytes
    }
}

/// What a look saw.
#[derive(Debug)]
pub struct Look {
    /// In order of their numbers.
    pub(crate) rows: Vec<FoundRow>,
    /// Whether the limit may have cut it short.
    pub(crate) more: bool,
    pub(crate) horizon: Horizon,
}

/// How it is known that a number will never get a row. A number that was missed first by a look
/// with this `mark`, and is missed again by one whose `passed` has reached it, belongs to no
/// transaction that still runs. A look that misses no number above its cursor may have any mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Horizon {
    pub(crate) mark: u64,
    pub(crate) passed: u64,
}

/// A row that a look saw.
#[derive(Debug)]
pub(crate) struct FoundRow {
    pub(crate) seq: i64,
    /// `None`: it is another relay's.
    pub(crate) event: Option<FoundEvent>,
}

/// An event that a look saw.
#[derive(Debug)]
pub struct FoundEvent {
    pub(crate) place: Place,
    pub(crate) shard: u8,
    /// How often it failed.
    pub(crate) attempts: u32,
    /// How long it waits for its next attempt.
    pub(crate) retry_in: Option<Duration>,
    /// How many bytes it holds.
    pub(crate) size: usize,
    /// The message without its source, or why the row can't be one.
    pub(crate) message: Result<Message, String>,
}

/// What names one event of the outbox, even after its sequence was reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub(crate) seq: i64,
    pub(crate) id: Uuid,
}

/// How events ended.
#[derive(Debug)]
pub struct Settlement<'a> {
    pub(crate) target: &'a str,
    pub(crate) owner: Uuid,
    /// Confirmed.
    pub(crate) published: &'a [Place],
    /// Those among the published that had failed before.
    pub(crate) recovered: &'a [Uuid],
    /// Tried again later.
    pub(crate) failed: &'a [FailedAttempt],
    /// Given up.
    pub(crate) dead: &'a [NewDeadLetter],
}

impl Settlement<'_> {
    /// The shards that must be the owner's.
    pub(crate) fn shards(&self) -> ShardSet {
        let failed = self.failed.iter().map(|attempt| attempt.shard);
        let dead = self.dead.iter().map(|letter| letter.shard);
        failed.chain(dead).fold(ShardSet::NONE, ShardSet::with)
    }
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FailedAttempt {
    pub(crate) place: Place,
    pub(crate) shard: u8,
    /// How often it has failed now.
    pub(crate) attempts: u32,
    pub(crate) delay: Duration,
    pub(crate) reason: String,
}

/// A last attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewDeadLetter {
    pub(crate) place: Place,
    pub(crate) shard: u8,
    /// How often it has failed now.
    pub(crate) attempts: u32,
    pub(crate) reason: String,
}

/// The part of a [`Backlog`](crate::Backlog) that one topic has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicBacklog {
    /// The topic.
    pub topic: String,
    /// Its events that are not published yet.
    pub pending: u64,
    /// How long the oldest of them has waited.
    pub oldest: Option<Duration>,
    /// Its dead letters.
    pub dead_letters: u64,
    /// Whether a relay that runs now takes this topic. If none does, its events wait: start a
    /// relay, or add the topic to one ([`Relay::topics`](crate::Relay::topics)).
    pub has_relay: bool,
}

impl TopicBacklog {
    /// From a row's numbers; the age in microseconds.
    pub(crate) fn new(topic: String, pending: i64, oldest: Option<i64>, dead_letters: i64) -> Self {
        Self {
            topic,
            pending: pending.unsigned_abs(),
            // A transaction that began later may have an older clock.
            oldest: oldest.map(|micros| Duration::from_micros(micros.max(0).unsigned_abs())),
            dead_letters: dead_letters.unsigned_abs(),
            has_relay: false,
        }
    }
}

/// Where dead letters and attempts come from: the column `origin`.
pub(crate) const RELAY: &str = "relay";

/// A row of `idem_dead_letters`.
#[derive(Debug)]
pub struct DeadLetterRow {
    pub(crate) number: i64,
    /// The relay's target.
    pub(crate) name: String,
    pub(crate) attempts: u32,
    pub(crate) reason: String,
    pub(crate) died_at: SystemTime,
    /// Without its source. If its headers were what made it unreadable, it has none.
    pub(crate) message: Message,
}

/// Which dead letters [`replay_dead_letters`](crate::replay_dead_letters) puts back.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum DeadLetterFilter<'a> {
    /// All of them.
    All,
    /// Those of one topic.
    Topic(&'a str),
    /// Those with these IDs.
    Events(&'a [EventId]),
}

/// A time from a database's microseconds since 1970.
pub(crate) fn time(micros: i64) -> SystemTime {
    let distance = Duration::from_micros(micros.unsigned_abs());
    let time = if micros < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// `1, 2, 3`
#[cfg_attr(
    not(any(feature = "mysql", feature = "sqlite")),
    allow(dead_code, reason = "PostgreSQL takes arrays")
)]
pub(crate) fn list<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_may_be_before_1970() {
        let epoch = SystemTime::UNIX_EPOCH;
        for (micros, expected) in [
            (0, epoch),
            (7, epoch + Duration::from_micros(7)),
            (-7, epoch - Duration::from_micros(7)),
        ] {
            assert_eq!(time(micros), expected);
        }
    }
}
