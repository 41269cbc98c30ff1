//! Work that is due from time to time, done in the background.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use rand::Rng as _;
use sqlx::Pool;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::execution::back_off;
use crate::schema::{Purged, purge_batch};
use crate::store::{ErrorClass, OutboxStore};
use crate::telemetry::Redacted;
#[cfg(feature = "metrics")]
use crate::telemetry::metrics::{BacklogGauges, TopicGauges};
use crate::wake::notifier::notify_others;

/// How long one batch of a purge, or one reading of the backlog, may take.
const LONGEST_STEP: Duration = Duration::from_mins(5);

/// How long what is under way may go on once upkeep is stopped.
const GRACE: Duration = Duration::from_secs(10);

/// How often a batch that met a conflict is tried before it counts as failed.
const ATTEMPTS: u32 = 5;

/// The pause after a first failure; it doubles with each other one, up to the usual pause.
const FIRST_RETRY: Duration = Duration::from_secs(5);

/// How often upkeep is done. See [`spawn_upkeep`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UpkeepOptions {
    purge_every: Duration,
    #[cfg(feature = "metrics")]
    measure_every: Duration,
}

impl Default for UpkeepOptions {
    /// A purge every hour; with the feature `metrics`, the gauges of the backlog every 15 s.
    fn default() -> Self {
        Self {
            purge_every: Duration::from_hours(1),
            #[cfg(feature = "metrics")]
            measure_every: Duration::from_secs(15),
        }
    }
}

impl UpkeepOptions {
    /// How often to [`purge`](crate::purge); every hour unless said otherwise. Each pause is up to
    /// a tenth shorter or longer, and the first at most a tenth long, so that services which start
    /// together do not purge together.
    #[must_use]
    pub fn purge_every(mut self, pause: Duration) -> Self {
        self.purge_every = pause.max(Duration::from_millis(1));
        self
    }

    /// How often to look at the [`backlog`](crate::backlog) and to set its gauges; every 15 s
    /// unless said otherwise.
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn measure_every(mut self, pause: Duration) -> Self {
        self.measure_every = pause.max(Duration::from_millis(1));
        self
    }
}

/// Upkeep in the background, until this is stopped or dropped. See [`spawn_upkeep`].
#[must_use = "upkeep ends when its handle is dropped: keep it for as long as the program runs"]
pub struct Upkeep {
    task: JoinHandle<()>,
    stop: DropGuard,
}

impl Upkeep {
    /// Ends it. A purge that is under way ends with its current batch of rows, within 10 s. After
    /// that nothing is deleted.
    pub async fn stop(self) {
        drop(self.stop);
        // It catches its own panics; what is left is a runtime that shuts down.
        let _ended = self.task.await;
    }
}

impl fmt::Debug for Upkeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upkeep")
            .field("ended", &self.task.is_finished())
            .finish_non_exhaustive()
    }
}

/// Deletes expired keys and forgotten attempts on a timer, as [`purge`](crate::purge) does, for as
/// long as the handle lives. With the feature `metrics` it also sets gauges of the
/// [`backlog`](crate::backlog) by topic, and counts what was deleted.
///
/// On PostgreSQL it also wakes the relays of other processes after commits of this one, so that
/// they need not find the events by polling.
///
/// Call it in each instance of a service, once the tables are there: several do no harm. It takes
/// one connection of the pool at a time, one more with the feature `metrics`, and on PostgreSQL one
/// more for the moment of a wake-up. Errors do not end it:
/// each is logged at WARN, and the next attempt comes sooner than usual. It ends when the handle is
/// stopped or dropped, or, with a warning, when somebody closes the pool.
///
/// ```
/// # #[cfg(all(feature = "macros", feature = "sqlite"))]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}?mode=rwc", folder.path().join("upkeep.db").display());
/// # let pool = sqlx::SqlitePool::connect(&url).await?;
/// use std::time::Duration;
///
/// use idem_runtime::{UpkeepOptions, spawn_upkeep};
///
/// idem_runtime::migrate(&pool).await?;
/// let options = UpkeepOptions::default().purge_every(Duration::from_mins(10));
/// let upkeep = spawn_upkeep(pool.clone(), options);
/// // ... the service runs; at its end:
/// upkeep.stop().await;
/// pool.close().await;
/// # Ok(())
/// # }
/// # #[cfg(not(all(feature = "macros", feature = "sqlite")))]
/// # fn main() {}
/// ```
///
/// # Panics
/// Outside of a tokio runtime.
pub fn spawn_upkeep<DB: OutboxStore>(pool: Pool<DB>, options: UpkeepOptions) -> Upkeep {
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let task = tokio::spawn(async move {
        tokio::select! {
            () = work(&pool, &options, &stopped) => {}
            () = async {
                stopped.cancelled().await;
                sleep(GRACE).await;
            } => {}
        }
    });
    Upkeep {
        task,
        stop: stop.drop_guard(),
    }
}

async fn work<DB: OutboxStore>(pool: &Pool<DB>, options: &UpkeepOptions, stop: &CancellationToken) {
    let purging = on_a_timer(pool, options.purge_every, PURGE_FAILED, stop, || {
        purge(pool, stop)
    });
    let notifying = stop.run_until_cancelled(notify_others(pool));
    #[cfg(not(feature = "metrics"))]
    tokio::join!(purging, notifying);
    #[cfg(feature = "metrics")]
    {
        let gauges = BacklogGauges::default();
        let measure = || measure(pool, &gauges);
        let measuring = on_a_timer(pool, options.measure_every, MEASURE_FAILED, stop, measure);
        tokio::join!(purging, notifying, measuring);
    }
}

const PURGE_FAILED: &str = "expired keys and forgotten attempts could not be deleted, and the tables grow until they are: check the \
    database, that `migrate` has run, and that this role may DELETE from `idem_keys` and `idem_attempts`";

#[cfg(feature = "metrics")]
const MEASURE_FAILED: &str = "the backlog of the outbox could not be read, and its gauges keep their old values: check the database, \
    that `migrate` has run, and that this role may SELECT from `idem_outbox` and `idem_dead_letters`";

/// Runs a step again and again, whatever its end, until it is stopped or the pool is closed.
async fn on_a_timer<DB, F>(
    pool: &Pool<DB>,
    every: Duration,
    failed: &'static str,
    stopped: &CancellationToken,
    step: impl Fn() -> F + Send,
) where
    DB: OutboxStore,
    F: Future<Output = Result<(), Failure>> + Send,
{
    let mut failures = 0;
    let mut pause = every.mul_f64(rand::rng().random_range(0.0..=0.1));
    loop {
        if stopped.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
        let ended = AssertUnwindSafe(step()).catch_unwind().await;
        let Err(failure) = ended.unwrap_or(Err(Failure::Panicked)) else {
            failures = 0;
            pause = every.mul_f64(rand::rng().random_range(0.9..=1.1));
            continue;
        };
        if pool.is_closed() {
            tracing::warn!(
                "upkeep has ended, since its pool is closed: stop it before that, by `Upkeep::stop`"
            );
            return;
        }
        pause = FIRST_RETRY.saturating_mul(1 << failures).min(every);
        failures = (failures + 1).min(16);
        tracing::warn!(error = %failure, next_attempt_in = ?pause, "{failed}");
    }
}

/// Why a step failed.
enum Failure {
    Store(sqlx::Error),
    TimedOut,
    Panicked,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => Redacted(error).fmt(f),
            Self::TimedOut => write!(f, "no answer within {LONGEST_STEP:?}"),
            Self::Panicked => f.write_str("a panic"),
        }
    }
}

async fn bounded<T>(
    asked: impl Future<Output = Result<T, sqlx::Error>> + Send,
) -> Result<T, Failure> {
    match timeout(LONGEST_STEP, asked).await {
        Ok(answered) => answered.map_err(Failure::Store),
        Err(_elapsed) => Err(Failure::TimedOut),
    }
}

async fn purge<DB: OutboxStore>(pool: &Pool<DB>, stop: &CancellationToken) -> Result<(), Failure> {
    let mut purged = Purged::default();
    let mut conflicts = 0;
    loop {
        match bounded(purge_batch(pool, &mut purged)).await {
            Ok(true) if stop.is_cancelled() => break,
            Ok(true) => conflicts = 0,
            Ok(false) => break,
            // With a handler, or with the purge of another instance.
            Err(Failure::Store(error))
                if DB::classify(&error) == ErrorClass::Conflict && conflicts < ATTEMPTS =>
            {
                conflicts += 1;
                back_off(conflicts).await;
            }
            Err(failure) => return Err(failure),
        }
    }
    #[cfg(feature = "metrics")]
    crate::telemetry::metrics::purged(purged.keys, purged.attempts);
    tracing::debug!(
        keys = purged.keys,
        attempts = purged.attempts,
        "deleted expired keys and forgotten attempts"
    );
    Ok(())
}

#[cfg(feature = "metrics")]
async fn measure<DB: OutboxStore>(pool: &Pool<DB>, gauges: &BacklogGauges) -> Result<(), Failure> {
    let backlog = bounded(crate::backlog::read(pool)).await?;
    let topics = backlog.topics.iter();
    gauges.set(topics.map(|topic| TopicGauges {
        topic: &topic.topic,
        pending: topic.pending,
        oldest: topic.oldest,
        dead_letters: topic.dead_letters,
    }));
    Ok(())
}
