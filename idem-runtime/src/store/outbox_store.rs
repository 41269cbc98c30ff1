//! What a database must do for the relay.

use std::fmt;
use std::future::Future;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::Store;
use crate::event::EventId;
use crate::message::Message;

/// The outbox as the relay reads and settles it, and the dead letters.
///
/// After an error that the server reported, each method leaves the connection as a pool hands it
/// out.
#[doc(hidden)]
pub trait OutboxStore: Store {
    /// Takes the lease if it is free or has expired, or renews it; by the database's clock.
    /// `false`: another relay has it.
    fn hold(
        conn: &mut Self::Connection,
        lease: Lease,
    ) -> impl Future<Output = Result<bool, sqlx::Error>> + Send;

    /// Frees the lease, if it is still this owner's.
    fn release(
        conn: &mut Self::Connection,
        owner: Uuid,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// The oldest events that may be published now, in order: unpublished, not waiting for a retry,
    /// and of no key that an event which waits holds back. One snapshot and one clock decide for
    /// all of them.
    fn pending(
        conn: &mut Self::Connection,
        limit: Limit,
    ) -> impl Future<Output = Result<Vec<Stored>, sqlx::Error>> + Send;

    /// What is left when [`pending`](Self::pending) gives nothing.
    fn remaining(
        conn: &mut Self::Connection,
    ) -> impl Future<Output = Result<Remaining, sqlx::Error>> + Send;

    /// Renews the lease and marks, in one transaction and only if the lease is still this owner's.
    /// `false`: it is not, and nothing is marked. Calling it twice has the same effect as calling
    /// it once.
    fn settle(
        conn: &mut Self::Connection,
        lease: Lease,
        settlement: &Settlement,
    ) -> impl Future<Output = Result<bool, sqlx::Error>> + Send;

    /// For each topic that has any, what waits and how many dead letters there are. One snapshot
    /// and the database's clock decide for all of them.
    fn backlog(
        conn: &mut Self::Connection,
    ) -> impl Future<Output = Result<Vec<TopicBacklog>, sqlx::Error>> + Send;

    /// How many dead letters there are.
    fn count_buried(
        conn: &mut Self::Connection,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// The dead letters after this `seq`, in order.
    fn buried(
        conn: &mut Self::Connection,
        after: i64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<DeadLetterRow>, sqlx::Error>> + Send;

    /// Moves at most `limit` dead letters back into the outbox, in order; how many.
    fn requeue(
        conn: &mut Self::Connection,
        filter: DeadLetterFilter<'_>,
        limit: u32,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;
}

/// The row of `idem_relay` whose owner publishes.
pub(crate) const LEASE: &str = "outbox";

/// Who wants the lease, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    pub(crate) owner: Uuid,
    pub(crate) length: Duration,
}

/// How much one batch may hold. The last event may exceed the bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    pub(crate) events: u32,
    pub(crate) bytes: u64,
}

/// An event as a table holds it.
#[derive(Clone)]
pub struct Stored {
    pub(crate) seq: i64,
    pub(crate) attempts: u32,
    pub(crate) id: Uuid,
    pub(crate) topic: String,
    pub(crate) key: Option<String>,
    pub(crate) kind: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) content_type: String,
    pub(crate) headers: String,
    pub(crate) created_at: SystemTime,
}

/// Shows neither the payload nor the keys.
impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("seq", &self.seq)
            .field("id", &self.id)
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

impl Stored {
    /// The message, or why it can't be one.
    pub(crate) fn into_message(self) -> Result<Message, &'static str> {
        let headers = serde_json::from_str(&self.headers)
            .map_err(|_| "its headers are not a JSON object of strings")?;
        Ok(Message {
            id: EventId::new(self.id),
            topic: self.topic,
            key: self.key,
            kind: self.kind,
            payload: self.payload,
            content_type: self.content_type,
            headers,
            created_at: self.created_at,
        })
    }
}

/// What is left to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remaining {
    /// Nothing.
    Nothing,
    /// Something that may be published now.
    Due,
    /// Only what waits for a retry, the first of it this long.
    Waiting(Duration),
}

impl Remaining {
    /// From whether anything is unpublished, and the milliseconds to the first retry.
    pub(crate) fn of(unpublished: bool, first_retry_in_ms: Option<i64>) -> Self {
        match (unpublished, first_retry_in_ms) {
            (false, _) => Self::Nothing,
            (true, Some(ms @ 1..)) => Self::Waiting(Duration::from_millis(ms.unsigned_abs())),
            (true, _) => Self::Due,
        }
    }
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
    /// Its events that were given up.
    pub dead_letters: u64,
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
        }
    }
}

/// How the events of one batch ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// Confirmed.
    pub(crate) published: Vec<i64>,
    /// Tried again later.
    pub(crate) retries: Vec<Retry>,
    /// Given up.
    pub(crate) dead: Vec<NewDeadLetter>,
}

/// A failed attempt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    pub(crate) seq: i64,
    /// How often it has failed now.
    pub(crate) attempts: u32,
    pub(crate) delay: Duration,
    pub(crate) reason: String,
}

/// A last attempt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NewDeadLetter {
    pub(crate) seq: i64,
    /// How often it has failed now.
    pub(crate) attempts: u32,
    pub(crate) reason: String,
}

/// A row of `idem_dead_letters`.
#[derive(Debug)]
pub struct DeadLetterRow {
    pub(crate) event: Stored,
    pub(crate) reason: String,
    pub(crate) died_at: SystemTime,
}

/// Which dead letters to replay.
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
    if micros < 0 {
        SystemTime::UNIX_EPOCH - distance
    } else {
        SystemTime::UNIX_EPOCH + distance
    }
}

/// `1, 2, 3`
pub(crate) fn list<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(headers: &str) -> Stored {
        Stored {
            seq: 1,
            attempts: 0,
            id: Uuid::nil(),
            topic: "orders.placed".into(),
            key: Some("secret".into()),
            kind: "OrderPlaced".into(),
            payload: b"secret".to_vec(),
            content_type: "application/json".into(),
            headers: headers.into(),
            created_at: SystemTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_stored_event_shows_neither_payload_nor_key_nor_headers() {
        let shown = format!("{:?}", stored("secret"));
        assert!(
            !shown.contains("secret") && shown.contains("orders.placed"),
            "{shown}"
        );
    }

    #[test]
    fn headers_that_are_no_object_of_strings_make_no_message() {
        let message = stored(r#"{"tenant":"acme"}"#).into_message().unwrap();
        assert_eq!(message.headers["tenant"], "acme");
        for headers in [
            "",
            "[]",
            "null",
            r#"{"tenant":1}"#,
            r#"{"tenant":"acme"} "x""#,
        ] {
            assert!(stored(headers).into_message().is_err(), "{headers}");
        }
    }

    #[test]
    fn remaining_events_that_wait_say_for_how_long() {
        let waiting = Remaining::Waiting(Duration::from_millis(5));
        for (unpublished, first_retry, remaining) in [
            (false, None, Remaining::Nothing),
            (false, Some(5), Remaining::Nothing),
            (true, None, Remaining::Due),
            (true, Some(-5), Remaining::Due),
            (true, Some(0), Remaining::Due),
            (true, Some(5), waiting),
        ] {
            assert_eq!(Remaining::of(unpublished, first_retry), remaining);
        }
    }

    #[test]
    fn a_time_may_lie_before_1970() {
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
