//! From a broker to handlers.

mod backoff;
mod batch;
mod dead_letters;
mod decode;
mod error;
mod failure;
mod handler_route;
mod lanes;
mod options;
mod route;
mod stats;
mod worker;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Database, Pool};

pub use backoff::Backoff;
pub use dead_letters::{ConsumerDeadLetter, consumer_dead_letters, replay_consumer_dead_letters};
pub use decode::{Decode, Json, Undecodable};
pub use error::ConsumerError;
pub use failure::Failure;
pub use route::{NoContext, Route};
pub use stats::ConsumerStats;

use crate::event::Event;
use crate::source::Source;
use crate::store::ConsumerStore;
use handler_route::HandlerRoute;
use options::Options;
use route::{AnyRoute, Routes};

/// Takes deliveries from a [`Source`] and gives each to the handler of its type.
///
/// ```
/// # #[cfg(all(feature = "macros", feature = "sqlite"))]
/// # mod example {
/// use std::time::Duration;
///
/// use idem_runtime::{Backoff, Consumer, Event, Source, idempotent};
/// use serde::{Deserialize, Serialize};
/// use sqlx::{SqliteConnection, SqlitePool};
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(topic = "payments.captured", key = "account")]
/// struct Payment {
///     id: String,
///     account: i64,
///     cents: i64,
/// }
///
/// #[idempotent(key = "payment.id", handler = ApplyPayment)]
/// async fn apply_payment(tx: &mut SqliteConnection, payment: &Payment) -> Result<(), sqlx::Error> {
///     sqlx::query("UPDATE accounts SET cents = cents + $1 WHERE id = $2")
///         .bind(payment.cents)
///         .bind(payment.account)
///         .execute(&mut *tx)
///         .await?;
///     Ok(())
/// }
///
/// async fn consume(
///     source: impl Source,
///     pool: SqlitePool,
///     shutdown: impl Future<Output = ()> + Send,
/// ) -> Result<(), Box<dyn std::error::Error>> {
///     Consumer::new("ledger", source)
///         .on::<ApplyPayment>() // its message is an event: `Payment`
///         .concurrency(8)
///         .retry(Backoff::exponential(Duration::from_millis(200), Duration::from_mins(5)).attempts(8))
///         .run(&pool, shutdown)
///         .await?;
///     Ok(())
/// }
/// # }
/// ```
///
/// # What holds
/// 1. **Acknowledged only after COMMIT**, of the effect, of its dead letter, or of its row in the
///    table `idem_inbox`. After a crash in between the message comes again and is a duplicate. An
///    ack that the broker did not confirm is counted as [unsettled](ConsumerStats::unsettled).
/// 2. **In order per ordering key**: deliveries of one key run one after the other, in the order in
///    which this consumer got them; different keys run at the same time. One that waits for its
///    next attempt holds back only its own key. It depends on the broker whether one key goes to
///    only one instance. What must wait for longer than [`hold`](Self::hold) is put aside in the
///    database, with those of its key that came after it, and later ones follow them. So a key that
///    fails for hours fills no memory and keeps no message unacknowledged.
/// 3. **Attempts are counted in the database**, over all instances and restarts. A message that may
///    have been delivered before is counted before it runs, so that one that kills the process also
///    runs out of attempts. All others are counted when they fail.
/// 4. **What can't be handled is kept**: a message that can't be decoded, that is of an unknown
///    type, or whose handler's error [is permanent](crate::Classify) becomes a dead letter at once,
///    and one that keeps failing after its last attempt. One that the database can't store as a
///    dead letter is [rejected](crate::Delivery::reject), with an ERROR in the log.
/// 5. **Deadlines are extended** while a delivery runs or waits in memory, where the broker can do
///    that.
/// 6. **Shutdown is orderly**: nothing new is taken, what runs may end within
///    [`shutdown_timeout`](Self::shutdown_timeout), and the rest is given back. A partition that
///    the broker takes away is left in the same way.
/// 7. **An outage of the database uses up no attempts** and makes no dead letters: a failure counts
///    only if its attempt could be written. Receiving stops until a test write by the consumer
///    succeeds. Not counted either: a message that is still running elsewhere, a COMMIT of unknown
///    outcome, and a deadlock or another conflict of transactions.
/// 8. **A panic is a failed attempt** of that delivery alone.
/// 9. **Batches are safe**: see [`batch`](Self::batch). A message that fails does not cost the
///    others of its batch an attempt.
/// 10. **Memory is bounded**: see [`in_hand`](Self::in_hand). Then nothing more is received, so the
///     broker notices.
pub struct Consumer<S, DB: Database, F = Json> {
    name: String,
    source: S,
    format: Arc<F>,
    routes: Vec<(String, Arc<dyn AnyRoute<DB>>)>,
    options: Options,
}

impl<S: Source, DB: ConsumerStore> Consumer<S, DB> {
    /// A consumer of this source. Its attempts, its dead letters and what it puts aside are stored
    /// under this name. All instances of one service use the same name, and two services that share
    /// a database use different ones.
    pub fn new(name: impl Into<String>, source: S) -> Self {
        Self {
            name: name.into(),
            source,
            format: Arc::new(Json),
            routes: Vec::new(),
            options: Options::default(),
        }
    }
}

impl<S: Source, DB: ConsumerStore, F: Send + Sync + 'static> Consumer<S, DB, F> {
    /// Delivers events of the type that the handler's message is, by its wire type
    /// ([`Event::TYPE`]).
    ///
    /// `R` is the type that `handler = ...` in the attribute names, not the function.
    #[must_use]
    pub fn on<R>(self) -> Self
    where
        R: Route<DB>,
        R::Message: Event,
        R::Context: NoContext,
        R::Error: Failure,
        F: Decode<R::Message>,
    {
        self.on_type_with::<R>(R::Message::TYPE, R::Context::NONE)
    }

    /// Delivers messages of this wire type: the attribute `type` of CloudEvents, or what the source
    /// says is the type.
    #[must_use]
    pub fn on_type<R>(self, kind: impl Into<String>) -> Self
    where
        R: Route<DB>,
        R::Context: NoContext,
        R::Error: Failure,
        F: Decode<R::Message>,
    {
        self.on_type_with::<R>(kind, R::Context::NONE)
    }

    /// The same as [`on`](Self::on), for a handler that takes a context.
    #[must_use]
    pub fn on_with<R>(self, context: R::Context) -> Self
    where
        R: Route<DB>,
        R::Message: Event,
        R::Error: Failure,
        F: Decode<R::Message>,
    {
        self.on_type_with::<R>(R::Message::TYPE, context)
    }

    /// The same as [`on_type`](Self::on_type), for a handler that takes a context.
    #[must_use]
    pub fn on_type_with<R>(mut self, kind: impl Into<String>, context: R::Context) -> Self
    where
        R: Route<DB>,
        R::Error: Failure,
        F: Decode<R::Message>,
    {
        let route = HandlerRoute::<R, R::Context, F>::new(context, Arc::clone(&self.format));
        self.routes.push((kind.into(), Arc::new(route)));
        self
    }

    /// The format of the messages of all handlers that are given after this; [`Json`] unless said
    /// otherwise.
    #[must_use]
    pub fn format<G: Send + Sync + 'static>(self, format: G) -> Consumer<S, DB, G> {
        Consumer {
            name: self.name,
            source: self.source,
            format: Arc::new(format),
            routes: self.routes,
            options: self.options,
        }
    }

    /// How many deliveries run at once; 8 unless said otherwise, and at most the connections of the
    /// pool less two. A [batch](Self::batch) counts as one.
    #[must_use]
    pub fn concurrency(mut self, deliveries: usize) -> Self {
        self.options.concurrency = deliveries.max(1);
        self
    }

    /// How many deliveries of one handler are handled in one transaction at most; 1 unless said
    /// otherwise. See [the guide](crate::guide::batches).
    ///
    /// A batch takes what is ready, and never waits for more: at most one delivery of each ordering
    /// key, in the order of these keys, so that two batches that lock rows by them don't deadlock.
    /// What is ready is shared out evenly among the places that are free. A handler with
    /// `batch = "..."` gets a batch as its slice; any other runs its body for one delivery after
    /// the other.
    ///
    /// If a body fails, its batch is rolled back. The delivery that failed then runs by itself, and
    /// the others in batches without it. Which one made the body of a batch handler fail is not
    /// known, so its batch is halved until that one is alone. An attempt is counted for that one
    /// only.
    #[must_use]
    pub fn batch(mut self, deliveries: usize) -> Self {
        self.options.batch = deliveries.max(1);
        self
    }

    /// When a failed delivery is tried again, and how often; see [`Backoff`].
    #[must_use]
    pub fn retry(mut self, backoff: Backoff) -> Self {
        self.options.retry = backoff;
        self
    }

    /// How long a delivery waits in memory for its next attempt at most; 30 s unless said
    /// otherwise. One that must wait for longer is put aside in the table `idem_inbox`, with those
    /// of its key that came after it; so is one whose key fills a fourth of
    /// [`in_hand`](Self::in_hand) while it waits.
    #[must_use]
    pub fn hold(mut self, longest: Duration) -> Self {
        self.options.hold = longest;
        self
    }

    /// How many deliveries and bytes are in memory at most, give or take one; 1,000 and 64 MiB
    /// unless said otherwise. What runs, waits or is being settled counts.
    #[must_use]
    pub fn in_hand(mut self, messages: usize, bytes: usize) -> Self {
        self.options.in_hand.messages = messages.max(1);
        self.options.in_hand.bytes = bytes.max(1);
        self
    }

    /// How many deliveries may be put aside; 10,000 unless said otherwise. Then nothing more is
    /// received until some of them are done, so the broker notices.
    #[must_use]
    pub fn parked(mut self, deliveries: u32) -> Self {
        self.options.parked = deliveries.max(1);
        self
    }

    /// How long what runs may take to end, once a shutdown is asked for or its partition is taken
    /// away; 30 s unless said otherwise. Then it is interrupted and rolled back, and comes again.
    /// That takes up to 5 s more.
    #[must_use]
    pub fn shutdown_timeout(mut self, limit: Duration) -> Self {
        self.options.shutdown_timeout = limit;
        self
    }

    /// Acknowledges messages of a type that has no handler, instead of making dead letters of them:
    /// for a topic of which this service takes some types.
    #[must_use]
    pub fn ignore_unknown(mut self) -> Self {
        self.options.ignore_unknown = true;
        self
    }

    /// Consumes until `shutdown` ends, or the source does.
    ///
    /// Once it has reached the database, the consumer goes on through outages of the database and
    /// of the broker, with warnings in the log. The future can be spawned. When it is dropped, what
    /// runs is rolled back and nothing more is acknowledged.
    ///
    /// # Errors
    /// See [`ConsumerError`]. Each is logged as an ERROR, too.
    pub fn run<U>(
        self,
        pool: &Pool<DB>,
        shutdown: U,
    ) -> impl Future<Output = Result<ConsumerStats, ConsumerError>> + Send + use<S, DB, F, U>
    where
        U: Future<Output = ()> + Send,
    {
        let routes = Routes::new(self.routes);
        worker::run(
            self.name,
            self.source,
            pool.clone(),
            routes,
            self.options,
            shutdown,
        )
    }
}

impl<S, DB: Database, F> fmt::Debug for Consumer<S, DB, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types: Vec<_> = self.routes.iter().map(|(kind, _)| kind).collect();
        f.debug_struct("Consumer")
            .field("name", &self.name)
            .field("types", &types)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
