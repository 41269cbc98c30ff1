//! What a relay knows of its own part, and how it leaves.

use super::session::HeldSession;
use crate::guarded_connection::GuardedConnection;
use crate::relay::options::Options;
use crate::relay::plan::Me;
use crate::shard::ShardSet;
use crate::store::{Changes, Home, OutboxStore};
use crate::telemetry::Redacted;
use sqlx::Pool;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

pub(crate) struct Membership<DB: OutboxStore> {
    pub(crate) pool: Pool<DB>,
    pub(crate) me: Me,
    pub(crate) lease: Duration,
    pub(crate) check_every: Duration,
    pub(crate) home: Option<Arc<Home>>,
    /// `None` until it is opened.
    pub(crate) session: Option<HeldSession>,
    pub(crate) owned: ShardSet,
    /// Owned, but about to be given up.
    pub(crate) leaving: ShardSet,
    /// By a clock of our own that was read before the database's. Not owned past this time.
    pub(crate) until: Option<Instant>,
    pub(crate) next_check: Instant,
    pub(crate) is_asking: bool,
    /// How many questions in a row the database left without an answer.
    pub(crate) unanswered: u32,
    pub(crate) row: Row,
    /// Something has changed that the table must know.
    pub(crate) is_due: bool,
}

/// The relay's own row in the table of relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    Absent,
    /// It was sent, and no answer has come yet.
    Unknown,
    Present,
}

impl<DB: OutboxStore> Membership<DB> {
    pub(crate) fn new(pool: Pool<DB>, owner: Uuid, options: &Options) -> Self {
        Self {
            pool,
            me: Me {
                target: options.target.clone(),
                owner,
                topics: options.topics.clone(),
            },
            lease: options.lease,
            check_every: options.poll_interval.min(options.lease / 3),
            home: None,
            session: None,
            owned: ShardSet::NONE,
            leaving: ShardSet::NONE,
            until: None,
            next_check: Instant::now(),
            is_asking: false,
            unanswered: 0,
            row: Row::Absent,
            is_due: true,
        }
    }

    pub(crate) const fn next_check(&self) -> Instant {
        self.next_check
    }

    pub(crate) fn home(&self) -> Option<Arc<Home>> {
        self.home.clone()
    }

    /// The shards whose events may be read and published now.
    pub(crate) fn shards(&self, now: Instant) -> ShardSet {
        match self.until {
            Some(until) if now < until && self.session.is_some() => self.selected(),
            _ => ShardSet::NONE,
        }
    }

    /// The shards that are this relay's as far as it knows, whether or not its lease has ended.
    pub(crate) const fn selected(&self) -> ShardSet {
        self.owned.without(self.leaving)
    }

    /// Whether every shard of the target is this relay's.
    pub(crate) fn owns_all(&self, now: Instant) -> bool {
        self.shards(now) == ShardSet::ALL
    }

    pub(crate) fn renewal(&self) -> Option<Instant> {
        Some(self.until? - self.lease.mul_f32(2.0 / 3.0))
    }

    /// Whether the lease has not ended.
    pub(crate) fn is_held(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// How long an answer about the relays is waited for, and `most` at most.
    pub(crate) fn limit(&self, most: Duration) -> Duration {
        limit(self.lease, self.unanswered).min(most)
    }

    /// Frees the shards, so that a successor need not wait.
    pub(crate) async fn leave(&mut self, options: &Options) {
        self.owned = ShardSet::NONE;
        let Some(home) = self.home.clone() else {
            return;
        };
        if std::mem::replace(&mut self.row, Row::Absent) == Row::Absent {
            return;
        }
        let removed = remove(&self.pool, &home, self.me.owner);
        match timeout(options.statement_limit(), removed).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(
                    target_name = options.target,
                    error = %Redacted(&error),
                    "the relay has ended and could not say so in idem_relays: the others take its share when its lease ends"
                );
            }
            Err(_elapsed) => {
                tracing::warn!(
                    target_name = options.target,
                    "the relay has ended and could not say so in idem_relays, since the database did not answer: the \
                     others take its share when its lease ends"
                );
            }
        }
        self.session = None;
    }
}

/// No answer about the relays is given up sooner than this.
const SHORTEST_LIMIT: Duration = Duration::from_secs(1);

/// How long to wait for an answer after `unanswered` questions in a row got none. One lost answer
/// must not cost the lease: it is asked for when a third of the lease has passed, and given up when
/// two thirds have. The next wait is longer: the pool may be busy, and whoever asks again is the
/// last in its queue.
fn limit(lease: Duration, unanswered: u32) -> Duration {
    let first = (lease / 3).max(SHORTEST_LIMIT);
    first.saturating_mul(1 << unanswered.min(16))
}

/// Dropped while it runs: frees the shards in the background.
impl<DB: OutboxStore> Drop for Membership<DB> {
    fn drop(&mut self) {
        if self.row == Row::Absent {
            return;
        }
        let (Some(home), Ok(runtime)) = (self.home.take(), Handle::try_current()) else {
            return;
        };
        let (pool, owner, limit) = (self.pool.clone(), self.me.owner, self.lease);
        runtime.spawn(async move {
            // Otherwise the lease ends by itself.
            let _ = timeout(limit, remove(&pool, &home, owner)).await;
        });
    }
}

async fn remove<DB: OutboxStore>(
    pool: &Pool<DB>,
    home: &Home,
    owner: Uuid,
) -> Result<(), sqlx::Error> {
    let mut conn = GuardedConnection::acquire(pool).await?;
    let removed = DB::coordinate(conn.connection(), home, |_| {
        let changes = Changes {
            remove: vec![owner],
            put: None,
        };
        (changes, ())
    });
    let removed = removed.await;
    conn.done(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_that_is_lost_leaves_time_for_another_one_within_the_lease() {
        let seconds = |lease, unanswered| limit(Duration::from_secs(lease), unanswered).as_secs();
        assert_eq!(
            [0, 1, 2].map(|unanswered| seconds(30, unanswered)),
            [10, 20, 40]
        );
        assert_eq!(
            [0, 1, 2].map(|unanswered| seconds(2, unanswered)),
            [1, 2, 4]
        );
        limit(Duration::MAX, u32::MAX);
    }
}
