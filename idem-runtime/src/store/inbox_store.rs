//! What a database must do for messages that wait in it.

use std::future::Future;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::home::Home;
use super::kept_message::KeptMessage;
use super::outbox_store::OutboxStore;

/// The table `idem_inbox`.
///
/// After an error that the server reported, each method leaves the connection as a pool hands it
/// out. Each is one transaction.
#[doc(hidden)]
pub trait InboxStore: OutboxStore {
    /// Adds messages in this order, none of which is handled before `due` has passed. One that is
    /// there already, or was done not long ago, stays as it is. But what a consumer puts aside has
    /// come again, and waits again, whether or not it was done before. How many are new.
    fn add(
        conn: &mut Self::Connection,
        home: &Home,
        inbox: InboxName<'_>,
        messages: &[KeptMessage],
        due: Duration,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// Takes at most `limit` messages that are due and that nobody has, for as long as the lease, in
    /// their order. Of each lane it takes the first one alone, so that nothing overtakes what is in
    /// somebody's hands, or goes back.
    fn take(
        conn: &mut Self::Connection,
        home: &Home,
        inbox: InboxName<'_>,
        owner: Uuid,
        lease: Duration,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<TakenMessage>, sqlx::Error>> + Send;

    /// Begins the lease anew. `false`: it is not this owner's any more.
    fn renew(
        conn: &mut Self::Connection,
        home: &Home,
        seq: i64,
        owner: Uuid,
        lease: Duration,
    ) -> impl Future<Output = Result<bool, sqlx::Error>> + Send;

    /// These are done, and their payloads are deleted. Answers which of them were still this owner's;
    /// the others stay as they are.
    fn mark_done(
        conn: &mut Self::Connection,
        home: &Home,
        seqs: &[i64],
        owner: Uuid,
    ) -> impl Future<Output = Result<Vec<i64>, sqlx::Error>> + Send;

    /// It is handed out no more, and its row keeps the message. `false`: it is not this owner's any
    /// more.
    fn reject(
        conn: &mut Self::Connection,
        home: &Home,
        seq: i64,
        owner: Uuid,
    ) -> impl Future<Output = Result<bool, sqlx::Error>> + Send;

    /// Anybody can take it once `due` has passed. `false`: it is not this owner's any more.
    fn release(
        conn: &mut Self::Connection,
        home: &Home,
        seq: i64,
        owner: Uuid,
        due: Duration,
    ) -> impl Future<Output = Result<bool, sqlx::Error>> + Send;

    /// How many messages are not done, and the lanes of at most `limit` of them.
    fn waiting(
        conn: &mut Self::Connection,
        home: &Home,
        inbox: InboxName<'_>,
        limit: u32,
    ) -> impl Future<Output = Result<(u64, Vec<Lane>), sqlx::Error>> + Send;
}

/// What stands for an ordering key.
pub(crate) type Lane = [u8; 16];

pub(crate) fn lane(key: &str) -> Lane {
    let digest = Sha256::digest(key.as_bytes());
    let mut lane = [0; 16];
    lane.copy_from_slice(&digest[..16]);
    lane
}

/// Which messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InboxName<'a> {
    pub(crate) origin: &'static str,
    pub(crate) name: &'a str,
}

/// What a service stored for itself: the column `origin`.
pub(crate) const INBOX: &str = "inbox";

/// What a consumer put aside.
pub(crate) const PARKED: &str = "parked";

/// A message that was taken.
#[derive(Debug)]
pub struct TakenMessage {
    pub(crate) seq: i64,
    /// How often it was taken, this time included.
    pub(crate) taken: u32,
    pub(crate) kept: KeptMessage,
}
