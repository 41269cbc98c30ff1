//! What a database must do for messages that wait in it.

use std::collections::HashMap;
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

    /// Takes messages of these lanes, in their order: of each the first ones that wait, so many at
    /// most, as far as they are due and nobody has them. So of a lane of which somebody has a message
    /// it takes nothing, and nothing overtakes what goes back.
    fn take_lanes(
        conn: &mut Self::Connection,
        home: &Home,
        inbox: InboxName<'_>,
        owner: Uuid,
        lease: Duration,
        lanes: &[Lane],
        each: u32,
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

    /// Anybody can take those of them that are still this owner's, as if they had not been taken.
    fn put_back(
        conn: &mut Self::Connection,
        home: &Home,
        seqs: &[i64],
        owner: Uuid,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

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

/// Sorts what was taken, each with its place among those of its lane that were to be taken. After one
/// that somebody else was faster to take the rest of its lane must be put back: its numbers are the
/// second answer.
#[cfg_attr(
    not(any(feature = "postgres", feature = "mysql")),
    allow(dead_code, reason = "SQLite has one writer, and takes without gaps")
)]
pub(crate) fn without_gaps(mut taken: Vec<(TakenMessage, u64)>) -> (Vec<TakenMessage>, Vec<i64>) {
    taken.sort_unstable_by_key(|(message, _)| message.seq);
    let mut places: HashMap<Option<Lane>, u64> = HashMap::new();
    let (mut kept, mut back) = (Vec::with_capacity(taken.len()), Vec::new());
    for (message, place) in taken {
        let last = places.entry(message.lane()).or_default();
        if *last + 1 == place {
            *last = place;
            kept.push(message);
        } else {
            back.push(message.seq);
        }
    }
    (kept, back)
}

/// A message that was taken.
#[derive(Debug)]
pub struct TakenMessage {
    pub(crate) seq: i64,
    /// How often it was taken, this time included.
    pub(crate) taken: u32,
    pub(crate) kept: KeptMessage,
}

impl TakenMessage {
    pub(crate) fn lane(&self) -> Option<Lane> {
        self.kept.key.as_deref().map(lane)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::message::Headers;
    use crate::store::kept_message::MessageId;

    pub(crate) fn taken(seq: i64, key: Option<&str>, bytes: usize) -> TakenMessage {
        let kept = KeptMessage {
            message: MessageId {
                source: String::new(),
                id: seq.to_string(),
            },
            topic: String::new(),
            key: key.map(Into::into),
            kind: String::new(),
            payload: vec![0; bytes],
            content_type: String::new(),
            headers: Headers::default(),
            published_at: SystemTime::UNIX_EPOCH,
        };
        TakenMessage {
            seq,
            taken: 1,
            kept,
        }
    }

    #[test]
    fn what_comes_after_a_gap_of_its_lane_is_put_back() {
        let of = |seq, key, place| (taken(seq, Some(key), 0), place);
        let (kept, back) = without_gaps(vec![
            of(9, "a", 4),
            of(1, "a", 1),
            of(2, "b", 2),
            of(4, "a", 2),
            of(5, "b", 3),
        ]);
        let kept: Vec<_> = kept.iter().map(|message| message.seq).collect();
        assert_eq!((kept, back), (vec![1, 4], vec![2, 5, 9]));
    }
}
