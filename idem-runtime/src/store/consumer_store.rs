//! What a database must do for consumers: attempts, and dead letters.

use std::future::Future;
use std::time::{Duration, SystemTime};

use super::{Home, InboxStore};
use crate::message::{Headers, Message};

/// Attempts and dead letters of consumers.
///
/// After an error that the server reported, each method leaves the connection as a pool hands it
/// out.
#[doc(hidden)]
pub trait ConsumerStore: InboxStore {
    /// Counts an attempt of each of these messages, none of which is there twice, and says in their
    /// order how many there are now. One transaction.
    fn count_attempts(
        conn: &mut Self::Connection,
        home: &Home,
        consumer: &str,
        attempts: &[NewAttempt],
    ) -> impl Future<Output = Result<Vec<u32>, sqlx::Error>> + Send;

    /// Deletes the attempts of what is `done`, and takes one attempt back from each that was
    /// `interrupted`.
    fn forget_attempts(
        conn: &mut Self::Connection,
        home: &Home,
        consumer: &str,
        done: &[MessageId],
        interrupted: &[MessageId],
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Writes a dead letter and deletes the message's attempts, in one transaction. A letter of the
    /// same message that is there already is written over.
    fn bury(
        conn: &mut Self::Connection,
        home: &Home,
        consumer: &str,
        letter: &Letter,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// The dead letters of a consumer after this number, in order.
    fn letters(
        conn: &mut Self::Connection,
        home: &Home,
        consumer: &str,
        after: i64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<LetterRow>, sqlx::Error>> + Send;

    /// Moves these dead letters of a consumer to what it has parked, in their order; how many were
    /// there. One transaction.
    fn replay(
        conn: &mut Self::Connection,
        home: &Home,
        consumer: &str,
        numbers: &[i64],
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// Writes something where attempts are, and leaves nothing: whether attempts can be written.
    fn probe(
        conn: &mut Self::Connection,
        home: &Home,
        consumer: &str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

/// Where dead letters and attempts of consumers come from: the column `origin`.
pub(crate) const CONSUMER: &str = "consumer";

/// The column `origin` of a row that is deleted in the transaction that inserts it.
pub(crate) const PROBE: &str = "probe";

/// What names a message to its consumer: an ID is unique within its source.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId {
    pub(crate) source: String,
    pub(crate) id: String,
}

/// An attempt to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAttempt {
    pub(crate) message: MessageId,
    /// Why it failed. `None`: it has not run yet.
    pub(crate) reason: Option<String>,
}

/// A message with all that came with it, as the tables hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptMessage {
    pub(crate) message: MessageId,
    pub(crate) topic: String,
    pub(crate) key: Option<String>,
    pub(crate) kind: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) content_type: String,
    pub(crate) headers: Headers,
    pub(crate) published_at: SystemTime,
}

impl KeptMessage {
    /// Headers as the tables hold them.
    pub(crate) fn headers_json(&self) -> String {
        serde_json::to_string(&self.headers).expect("texts serialize")
    }

    /// Microseconds since 1970, within what every database can hold.
    pub(crate) fn micros(&self) -> u64 {
        micros(self.published_at)
    }

    /// What a row of one of the tables holds.
    pub(crate) fn of_row(message: MessageId, row: Message) -> Self {
        Self {
            message,
            topic: row.topic,
            key: row.key,
            kind: row.kind,
            payload: row.payload,
            content_type: row.content_type,
            headers: row.headers,
            published_at: row.created_at,
        }
    }
}

/// A message that is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub(crate) kept: KeptMessage,
    pub(crate) attempts: u32,
    pub(crate) reason: String,
}

/// A dead letter of a consumer.
#[derive(Debug)]
pub struct LetterRow {
    pub(crate) number: i64,
    pub(crate) letter: Letter,
    pub(crate) died_at: SystemTime,
}

/// The last second of the year 9999.
const LATEST: u64 = 253_402_300_799_000_000;

fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let micros = since.as_ref().map_or(0, Duration::as_micros);
    u64::try_from(micros).unwrap_or(u64::MAX).min(LATEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_moved_to_what_every_database_can_hold() {
        let epoch = SystemTime::UNIX_EPOCH;
        let day = Duration::from_hours(24);
        assert_eq!(micros(epoch - day), 0);
        assert_eq!(micros(epoch + day), 86_400_000_000);
        assert_eq!(micros(epoch + day * 365 * 9_000), LATEST);
    }
}
