//! From the outbox to a broker.

mod calls;
mod cursor;
mod error;
mod lanes;
#[cfg(test)]
mod model;
mod options;
mod plan;
mod policy;
mod stats;
mod worker;

use std::fmt;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use sqlx::Pool;

pub use error::RelayError;
use options::Options;
pub use stats::RelayStats;
use worker::{Until, Worker};

use crate::publisher::Publisher;
use crate::store::{OutboxStore, Topics};

/// Publishes the events of the outbox.
///
/// ```no_run
/// use idem_runtime::Relay;
/// use idem_runtime::broker::JsonLines;
/// use tokio_util::sync::CancellationToken;
///
/// # #[cfg(feature = "postgres")]
/// # async fn example(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// let shutdown = CancellationToken::new();
/// let relay = Relay::new(pool, JsonLines::stdout());
/// let running = tokio::spawn(relay.run(shutdown.clone().cancelled_owned()));
/// // ... and at the end of the program:
/// shutdown.cancel();
/// running.await??;
/// # Ok(())
/// # }
/// ```
///
/// # What holds
/// * **At least once**, under the same event ID every time. An event is deleted from the outbox
///   only after the publisher confirmed it. A crash between the two publishes it once more.
/// * **In order per key.** Events with the same ordering key, whatever their topic, are published
///   in the order of their commits, if the transactions that emit them share a lock. They do if
///   each handler locks the row that the key names, as an `UPDATE` of that row does. Two
///   transactions that emit under one key and share no lock have no order between them. That holds
///   with several relays, across crashes and for a process that was frozen: an event may come
///   again, but none comes before an earlier one of its key. Events without a key are in no order.
/// * **Nothing is skipped**: a row that was committed late is found, whatever its number.
/// * **A failure holds back its own key alone.** A message that failed is tried again after an
///   exponentially growing pause with full jitter. The events of its key wait; all others go on.
///   After [`max_attempts`](Self::max_attempts), or at once when the publisher says that the
///   failure is permanent, it becomes a dead letter and its key goes on:
///   [`replay_dead_letters`](crate::replay_dead_letters) brings it back.
/// * **An outage uses up no attempts.** While a receiver [is
///   unavailable](crate::PublishError::unavailable), the relay pauses. While the database is away,
///   it tries again, and what was confirmed is not published a second time.
/// * **Relays share the work.** Run as many as you like: each takes some of 64 shards of the keys.
///   When one ends, the others take its share at once. When it crashes, they do as soon as the
///   database sees that its session is gone, and behind PgBouncer when its
///   [`lease`](Self::lease) ends, as for a process that is frozen.
/// * **Nothing waits for the slowest.** A publisher that hangs is given up after
///   [`publish_timeout`](Self::publish_timeout), and until then all other events go on.
/// * No transaction and no connection is held while the publisher works, and no more than
///   [`in_hand`](Self::in_hand) is in memory.
///
/// Besides connections of the pool for its statements, a relay holds one of its own on PostgreSQL
/// and MySQL, by which the others see that it lives. On SQLite it is a locked file beside the
/// database.
pub struct Relay<DB: OutboxStore, P> {
    pool: Pool<DB>,
    publisher: Arc<P>,
    options: Options,
}

impl<DB: OutboxStore, P: Publisher> Relay<DB, P> {
    /// A relay of this pool's outbox to `publisher`. Its target is `default`, and it takes all
    /// topics.
    pub fn new(pool: Pool<DB>, publisher: P) -> Self {
        Self {
            pool,
            publisher: Arc::new(publisher),
            options: Options::default(),
        }
    }

    /// The name of what it publishes to, where one outbox has several receivers. Relays of one
    /// target share its events; attempts and dead letters are the target's. Give each target its
    /// [`topics`](Self::topics).
    #[must_use]
    pub fn target(mut self, name: impl Into<String>) -> Self {
        self.options.target = name.into();
        self
    }

    /// The topics that this target takes; all of them unless said otherwise. A relay does not start
    /// while a relay of another target takes one of them. Events of a topic that no target takes
    /// stay in the outbox.
    #[must_use]
    pub fn topics<T: Into<String>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        let topics = topics.into_iter().map(Into::into).collect();
        self.options.topics = Topics(Some(topics));
        self
    }

    /// The [`source`](crate::Message::source) of the messages, a URI reference that names this
    /// producer. Unless said otherwise it is the database's namespace, as `urn:uuid:...`.
    #[must_use]
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.options.source = Some(source.into());
        self
    }

    /// How many events are handed to the publisher in one call at most; 1,000 unless said
    /// otherwise. It gets what there is, and never waits for more.
    #[must_use]
    pub fn batch(mut self, events: usize) -> Self {
        self.options.batch.events = events.max(1);
        self
    }

    /// How many bytes are handed to the publisher in one call at most, give or take one event; 8
    /// MiB unless said otherwise.
    #[must_use]
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.options.batch.bytes = bytes.max(1);
        self
    }

    /// How many events and bytes are in memory at most, give or take one event; 10,000 and 64 MiB
    /// unless said otherwise. Counted are payload, headers and names.
    ///
    /// Of events that wait for another attempt, or behind one that does, only the number is kept:
    /// about 100 bytes each, and at most a million of them.
    #[must_use]
    pub fn in_hand(mut self, events: usize, bytes: usize) -> Self {
        self.options.in_hand.events = events.max(1);
        self.options.in_hand.bytes = bytes.max(1);
        self
    }

    /// How often an idle relay looks for events, and for relays that have ended; 500 ms unless said
    /// otherwise. A commit wakes the relays of its process at once. On PostgreSQL
    /// [`spawn_upkeep`](crate::spawn_upkeep) wakes those of other processes.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.options.poll_interval = interval.max(Duration::from_millis(1));
        self
    }

    /// After how many failures an event becomes a dead letter; 20 unless said otherwise. With the
    /// default backoff the pauses between them add up to 27 minutes on average. A receiver that [is
    /// unavailable](crate::PublishError::unavailable) uses up none of them.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.options.policy.max_attempts = attempts.max(1);
        self
    }

    /// The longest pause after a first failure, which doubles with each other one up to `cap`; 500
    /// ms and 5 minutes unless said otherwise. Each pause is a random part of that (full jitter).
    #[must_use]
    pub fn backoff(mut self, first: Duration, cap: Duration) -> Self {
        self.options.policy.backoff = first;
        self.options.policy.backoff_cap = cap.max(first);
        self
    }

    /// How long a relay that was frozen keeps its shards from the others; 10 s unless said
    /// otherwise. It is renewed each third of that. No statement of the relay waits longer than that
    /// for its answer, or 5 s if that is more. A renewal is asked for again after a third of it, or
    /// 1 s if that is more: from 3 s on, one answer that is lost does not cost the lease.
    #[must_use]
    pub fn lease(mut self, length: Duration) -> Self {
        self.options.lease = length.max(Duration::from_millis(10));
        self
    }

    /// How long one call of the publisher may take; 30 s unless said otherwise. Then the messages
    /// without a verdict have failed, and each of them is tried again in a call of its own.
    #[must_use]
    pub fn publish_timeout(mut self, limit: Duration) -> Self {
        self.options.publish_timeout = limit.max(Duration::from_millis(1));
        self
    }

    /// Publishes until `shutdown` ends, then waits for the verdicts on what is with the publisher,
    /// settles them and gives its share to the others.
    ///
    /// Once the database was reached, the relay goes on through its outages, with a warning in the
    /// log. Dropping the future is safe at any point: what it published and did not settle is
    /// published again.
    ///
    /// # Errors
    /// See [`RelayError`]: a database that can't be reached at the start, tables that are missing,
    /// a topic that another target takes. Each is logged as an ERROR, too.
    pub fn run<F>(
        &self,
        shutdown: F,
    ) -> impl Future<Output = Result<RelayStats, RelayError>> + Send + use<DB, P, F>
    where
        F: Future<Output = ()> + Send,
    {
        self.worker(Until::Shutdown).run(shutdown)
    }

    /// Publishes until the outbox holds nothing of its topics: for tests and jobs.
    ///
    /// Waits out the pauses before retries, so it ends when each event is published or a dead
    /// letter. What belongs to other relays it leaves to them, and waits until they have done it.
    ///
    /// # Errors
    /// See [`RelayError`]; here also a database that can't be reached any more.
    pub fn drain(
        &self,
    ) -> impl Future<Output = Result<RelayStats, RelayError>> + Send + use<DB, P> {
        self.worker(Until::Empty).run(pending())
    }

    fn worker(&self, until: Until) -> Worker<DB, P> {
        Worker::new(
            self.pool.clone(),
            Arc::clone(&self.publisher),
            Arc::new(self.options.clone()),
            until,
        )
    }
}

impl<DB: OutboxStore, P> fmt::Debug for Relay<DB, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("publisher", &std::any::type_name::<P>())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
