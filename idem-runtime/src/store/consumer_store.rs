//! What a database must do for consumers: attempts, and dead letters.

use std::future::Future;
use std::time::SystemTime;

use super::home::Home;
use super::inbox_store::InboxStore;
use super::kept_message::{KeptMessage, MessageId};

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

/// An attempt to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAttempt {
    pub(crate) message: MessageId,
    /// Why it failed. `None`: it has not run yet.
    pub(crate) reason: Option<String>,
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
