//! From the outbox to a broker.

mod connection;
mod error;
mod lease;
mod options;
mod stats;
mod verdict;
mod worker;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Pool;
use tokio_util::sync::CancellationToken;

pub(crate) use connection::GuardedConnection;
pub use error::RelayError;
use options::Options;
pub use stats::RelayStats;
use worker::{Until, Worker};

use crate::publisher::Publisher;
use crate::store::OutboxStore;

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
/// let running = tokio::spawn(relay.run(shutdown.clone()));
/// // ... and at the end of the program:
/// shutdown.cancel();
/// running.await??;
/// # Ok(())
/// # }
/// ```
///
/// # What holds
/// * **At least once**, under the same event ID every time. An event is marked as published only
///   after the publisher confirmed it. A crash between the two publishes it once more.
/// * **In order per key.** Events with the same ordering key, whatever their topic, are published
///   in the order of their row numbers, among those that are committed when the relay polls. If
///   each handler locks the row that the key names, as an `UPDATE` of that row does, it writes its
///   events while it holds that lock, so the order of row numbers is the order of commits. Two
///   transactions that emit under one key and share no lock have no order between them, and are
///   published in the order in which they became visible, or by row number if they did together.
///   Events without a key are in no order.
/// * **Nothing is skipped**: a row that was committed late is found by the next poll, whatever its
///   number.
/// * **A failure holds back its own key alone.** A message that failed is tried again after an
///   exponentially growing pause with full jitter. The events of its key wait; all others go on.
///   After [`max_attempts`](Self::max_attempts), or at once when the publisher says that the
///   failure is permanent, it becomes a dead letter and its key goes on:
///   [`replay_dead_letters`](crate::replay_dead_letters) brings it back.
/// * **One relay publishes at a time**, by a lease in the database and its clock. Others stand by
///   and take over when the first one ends, or when its lease does. Every mark is bound to the
///   lease: a relay that lost it changes nothing any more.
/// * No transaction and no connection is held while the publisher works, and no more than
///   [`batch`](Self::batch) events or [`batch_bytes`](Self::batch_bytes) are in memory.
///
/// Each poll scans past held-back events, about 1 to 2 ms per thousand. Where one key can be stuck
/// for long, with many events behind it, a larger batch makes up for that.
pub struct Relay<DB: OutboxStore, P> {
    pool: Pool<DB>,
    publisher: Arc<P>,
    options: Options,
}

impl<DB: OutboxStore, P: Publisher> Relay<DB, P> {
    /// A relay of this pool's outbox to `publisher`.
    pub fn new(pool: Pool<DB>, publisher: P) -> Self {
        Self {
            pool,
            publisher: Arc::new(publisher),
            options: Options::default(),
        }
    }

    /// How many events are handed to the publisher at once; 100 unless said otherwise.
    #[must_use]
    pub fn batch(mut self, events: u32) -> Self {
        self.options.limit.events = events.max(1);
        self
    }

    /// How many bytes of payload are handed to the publisher at once, give or take one event; 8 MiB
    /// unless said otherwise.
    #[must_use]
    pub fn batch_bytes(mut self, bytes: u64) -> Self {
        self.options.limit.bytes = bytes.max(1);
        self
    }

    /// How often an idle relay looks for events, and one that stands by for the lease; 500 ms
    /// unless said otherwise.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.options.poll_interval = interval.max(Duration::from_millis(1));
        self
    }

    /// After how many failures an event becomes a dead letter; 20 unless said otherwise. Together
    /// with the backoff it decides how long an outage of the broker may last without dead letters:
    /// with the defaults the pauses add up to 27 minutes on average.
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

    /// How long a relay that crashed keeps the others waiting; 10 s unless said otherwise. While
    /// the publisher works the lease is renewed, so it need not be longer than a publication. A
    /// relay that shuts down or is dropped frees it at once.
    #[must_use]
    pub fn lease(mut self, length: Duration) -> Self {
        self.options.lease = length.max(Duration::from_millis(10));
        self
    }

    /// Publishes until `shutdown` fires, then waits for the verdicts on what is in hand, marks them
    /// and frees the lease.
    ///
    /// Once the database was reached, the relay goes on through its outages, with a warning in the
    /// log. Dropping the future is safe at any point: what it published without having marked it is
    /// published again.
    ///
    /// # Errors
    /// See [`RelayError`]: a database that can't be reached at the start, tables that are missing,
    /// a publisher that breaks its contract.
    pub fn run(
        &self,
        shutdown: CancellationToken,
    ) -> impl Future<Output = Result<RelayStats, RelayError>> + Send + use<DB, P> {
        self.worker(Until::Shutdown).run(shutdown)
    }

    /// Publishes until the outbox holds nothing unpublished: for tests and jobs.
    ///
    /// Waits out the pauses before retries, so it ends when each event is published or a dead
    /// letter. While another relay holds the lease it waits for that one to do the work, or to end.
    ///
    /// # Errors
    /// See [`RelayError`].
    pub fn drain(
        &self,
    ) -> impl Future<Output = Result<RelayStats, RelayError>> + Send + use<DB, P> {
        self.worker(Until::Empty).run(CancellationToken::new())
    }

    fn worker(&self, until: Until) -> Worker<DB, P> {
        Worker::new(
            self.pool.clone(),
            Arc::clone(&self.publisher),
            self.options,
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
