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

/// Publishes the events of the outbox: hands them to a [`Publisher`], and deletes those that it
/// confirms.
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
///   transactions that emit under one key and share no lock have no order between them. Order holds
///   with several relays, across crashes, and when a process was frozen. An event may be published
///   again, but none is published before an earlier one of its key, unless the earlier one became a
///   dead letter. Events without a key are in no order.
/// * **Nothing is skipped**: a row that was committed late is found, whatever its number.
/// * **A failure holds back its own key alone.** A message that failed is tried again after an
///   exponentially growing pause with full jitter. The later events of its key wait; all others go
///   on. After [`max_attempts`](Self::max_attempts), or at once when the publisher says that the
///   failure is permanent, it becomes a dead letter and its key goes on.
///   [`replay_dead_letters`](crate::replay_dead_letters) brings it back.
/// * **An outage uses up no attempts.** While a receiver [is
///   unavailable](crate::PublishError::unavailable), the relay pauses. While the database is away,
///   it tries again, and publishes nothing a second time that it knows to be confirmed.
/// * **Relays share the work.** Run as many as you like: each takes some of 64 shards of the keys.
///   When one ends, the others take its share within [`poll_interval`](Self::poll_interval). When
///   it crashes, they do so once the database has ended its session. Where nobody can see the
///   session (behind PgBouncer), and for a process that is frozen, they wait until its
///   [`lease`](Self::lease) ends.
/// * **A publisher that hangs** is given up after [`publish_timeout`](Self::publish_timeout). Until
///   then the events of other calls go on.
/// * No transaction and no connection is held while the publisher works, and no more than
///   [`in_hand`](Self::in_hand) is in memory.
///
/// # Connections
/// Statements of a relay run side by side, on about six connections of the pool at most. With
/// fewer they wait for one another. A pool that handlers keep busy can make a relay lose its lease:
/// give it a pool of its own where you can. On PostgreSQL and MySQL a relay holds one more
/// connection, outside of the pool, by which the others see that it is alive. On SQLite that is a
/// locked file next to the database, `<database>-idem-relay-<ID>`.
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

    /// A name for the receiver, where one outbox has several; `default` unless said otherwise, at
    /// most 255 bytes. Give each target its own [`topics`](Self::topics).
    ///
    /// Relays of one target share its events, and attempts are counted for the target. So give all
    /// relays of a target the same topics and a publisher to the same receiver: a relay publishes
    /// only its share, and a topic that only some of them take waits in the share of the others.
    #[must_use]
    pub fn target(mut self, name: impl Into<String>) -> Self {
        self.options.target = name.into();
        self
    }

    /// The topics that this target takes; all of them unless said otherwise. A relay does not start
    /// while a relay of another target takes one of them. Events of a topic that no target takes
    /// stay in the outbox: [`backlog`](crate::backlog) shows them.
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
    /// otherwise. A call gets what there is, and never waits for more. Several calls run at once.
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
    /// unless said otherwise. Bytes are those of payload, headers, topic, type and key. It is also
    /// the most that the publisher has at a time, in all its calls together.
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
    /// otherwise, at least 1 ms. A commit wakes the relays of its process at once. On PostgreSQL
    /// [`spawn_upkeep`](crate::spawn_upkeep) wakes those of other processes.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.options.poll_interval = interval.max(Duration::from_millis(1));
        self
    }

    /// After how many failed attempts an event becomes a dead letter; 20 unless said otherwise.
    /// With the default backoff the pauses between them add up to 27 minutes on average. They are
    /// counted in the database, across restarts and relays. A receiver that [is
    /// unavailable](crate::PublishError::unavailable) uses up none of them.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.options.policy.max_attempts = attempts.max(1);
        self
    }

    /// How long a relay waits before it tries again: after a first failure at most `first`, and
    /// twice as long after each further one, up to `cap`; 500 ms and 5 minutes unless said
    /// otherwise. Each pause is a random part of that (full jitter). The same holds for the pauses
    /// of a receiver that [is unavailable](crate::PublishError::unavailable).
    #[must_use]
    pub fn backoff(mut self, first: Duration, cap: Duration) -> Self {
        self.options.policy.backoff = first;
        self.options.policy.backoff_cap = cap.max(first);
        self
    }

    /// How long a relay that was frozen keeps its share from the others; 10 s unless said
    /// otherwise, and 3 s or more if one lost answer of the database must not cost the share.
    ///
    /// A relay renews its lease after each third of this time, and asks again when no answer has
    /// come within another third (at least 1 s). No other statement waits longer for its answer
    /// than the lease (at least 5 s), the wait for a connection of the pool included.
    #[must_use]
    pub fn lease(mut self, length: Duration) -> Self {
        self.options.lease = length.max(Duration::from_millis(10));
        self
    }

    /// How long one call of the publisher may take; 30 s unless said otherwise. Then it is given
    /// up. Of each key, the first message without a verdict has failed, and is tried again in a
    /// call of its own; the later ones of the key wait for it. A message without a key is alone in
    /// that.
    ///
    /// A message that only waited for its turn inside the publisher has failed, too. So the
    /// publisher must be able to work off all that it may have at a time,
    /// [`in_hand`](Self::in_hand) events, well within this time. One that sends 8 requests at once,
    /// of 50 ms each, needs 63 s for 10,000 events: give its relay `in_hand(1_000, ..)`.
    #[must_use]
    pub fn publish_timeout(mut self, limit: Duration) -> Self {
        self.options.publish_timeout = limit.max(Duration::from_millis(1));
        self
    }

    /// Publishes until `shutdown` ends. Then it waits for the verdicts on what the publisher has,
    /// deletes what was confirmed, and gives its share to the others.
    ///
    /// That end takes as long as the publisher needs for its verdicts, at most
    /// [`publish_timeout`](Self::publish_timeout): 30 s by default, which is all that Kubernetes
    /// gives a process by default. If the database does not answer, it can take up to three times
    /// the [`lease`](Self::lease) more (at least 15 s). A process that is killed before that loses
    /// nothing: what was published and not yet deleted is published again, under the same IDs.
    /// Dropping the future is safe at any point, and has the same effect.
    ///
    /// Once it has reached the database, the relay goes on through the database's outages, with
    /// warnings in the log.
    ///
    /// # Errors
    /// See [`RelayError`]: a database that can't be reached at the start, tables that are missing,
    /// a topic that another target takes. Each is logged as an ERROR, too. Nothing starts the relay
    /// again: let the program end, or call `run` again after a pause.
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
    /// letter. It leaves their share to other relays that run, and waits until they have published
    /// it. It has no time limit, and waits for as long as the receiver is unavailable: put a
    /// timeout around it. Dropping the future is safe.
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
