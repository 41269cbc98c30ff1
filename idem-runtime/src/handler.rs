//! A handler as a type, which a consumer and the explorer take.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use sqlx::Database;

use crate::begin::Begin;
use crate::call::Replayer;
use crate::error::{BatchEntry, Error};
use crate::execution::{Batch, FinishError, Place, Policy};
use crate::identity::Identity;
use crate::message::Received;
use crate::outcome::Outcome;
use crate::store::{Isolation, Store};

/// Implemented by the unit struct that `#[idempotent(handler = ApplyPayment)]` emits.
///
/// ```
/// # #[cfg(all(feature = "macros", feature = "sqlite"))]
/// # mod example {
/// use idem_runtime::{Handler, Received, idempotent};
/// use sqlx::{Sqlite, SqliteConnection, SqlitePool};
///
/// pub struct Payment {
///     id: String,
///     cents: i64,
/// }
///
/// #[idempotent(key = "payment.id", handler = ApplyPayment)]
/// pub async fn apply_payment(tx: &mut SqliteConnection, payment: &Payment) -> Result<(), sqlx::Error> {
///     sqlx::query("UPDATE accounts SET cents = cents + $1").bind(payment.cents).execute(&mut *tx).await?;
///     Ok(())
/// }
///
/// /// Whether to acknowledge.
/// async fn deliver<H: Handler<Database = Sqlite, Context = ()>>(
///     pool: &SqlitePool,
///     received: &Received<H::Message>,
/// ) -> bool {
///     H::call(pool, received, &()).await.is_ok()
/// }
///
/// async fn example(pool: &SqlitePool) -> bool {
///     let payment = Payment { id: "p-1".into(), cents: 500 };
///     deliver::<ApplyPayment>(pool, &Received::new("evt_1", payment)).await
/// }
/// # }
/// ```
///
/// Only the attribute implements it.
///
/// A consumer may spawn any handler: messages, contexts and results can cross threads, and so can
/// the call. A function whose body holds something across an await that is not `Send` can't be a
/// `Handler`.
///
/// ```
/// # #[cfg(feature = "postgres")]
/// # mod example {
/// use idem_runtime::{Handler, Received};
/// use sqlx::{PgPool, Postgres};
/// use tokio::task::JoinHandle;
///
/// fn spawn<H: Handler<Database = Postgres, Context = ()>>(
///     pool: PgPool,
///     received: Received<H::Message>,
/// ) -> JoinHandle<bool> {
///     tokio::spawn(async move { H::call(&pool, &received, &()).await.is_ok() })
/// }
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not a `Handler`",
    note = "`#[idempotent(key = \"...\", handler = {Self})]` on the function emits one"
)]
pub trait Handler: Send + Sync + 'static {
    /// The database of its transaction.
    type Database: Store;
    /// What is delivered.
    type Message: Send + Sync + 'static;
    /// What it borrows besides the message; `()` if nothing.
    type Context: Send + Sync + 'static;
    /// What it returns.
    type Output: Send + 'static;
    /// What a duplicate returns: `Output`, or `()` under `on_duplicate = "skip"`.
    type Replay: Send + 'static;
    /// Its own error.
    type Error: Send + 'static;

    /// The namespace of its keys.
    const SCOPE: &'static str;

    /// How long a key is remembered; `None` is for ever.
    const RETENTION: Option<Duration>;

    /// Whether keys are stored as hashes alone (`hash_key`).
    const HASH_KEY: bool;

    /// Whether its body takes many messages at once (`batch = "..."`).
    const BATCH: bool = false;

    /// Whether it stores nothing, since running it again does no harm. `false` for every handler of
    /// this release.
    const NATURAL: bool = false;

    /// The isolation level of its transactions, if it asks for one.
    #[doc(hidden)]
    const ISOLATION: Option<Isolation> = None;

    /// Whether its body changes settings of its transaction, which the next body of a batch would
    /// find.
    #[doc(hidden)]
    const SETS: bool = false;

    /// The key and the fingerprint of a delivery. Computed from the message and the context,
    /// without running the handler and without the database.
    fn identity(message: &Received<Self::Message>, context: &Self::Context) -> Identity;

    /// Reads what its calls store, for [`lookup`](crate::lookup).
    #[doc(hidden)]
    fn replayer() -> Replayer<Self::Output, Self::Replay, Self::Error>;

    /// Handles one delivery. It ends as the function does: see [`Outcome`] and [`Error`].
    fn call<B: Begin<<Self::Database as Database>::Connection>>(
        begin: B,
        message: &Received<Self::Message>,
        context: &Self::Context,
    ) -> impl Future<Output = Result<Outcome<Self::Output, Self::Replay>, Error<Self::Error>>> + Send
    where
        // Implied, and said again so that a type which is not `Send` is one error, on that type,
        // and the future is not another one.
        Self::Message: Sync,
        Self::Context: Sync,
        Self::Output: Send,
        Self::Error: Send;

    /// Handles many deliveries in one transaction; an entry for each, in their order. With an error
    /// nothing is committed, unless it is [`CommitUnknown`](Error::CommitUnknown).
    ///
    /// A [batch handler](crate::guide::batches) runs its body once, for all of them. Any other
    /// handler runs its body for one delivery after the other; one statement claims all keys, and
    /// one stores all results.
    fn call_batch<B: Begin<<Self::Database as Database>::Connection>>(
        begin: B,
        deliveries: &[&Received<Self::Message>],
        context: &Self::Context,
    ) -> impl Future<
        Output = Result<
            Vec<BatchEntry<Self::Output, Self::Replay, Self::Error>>,
            Error<Self::Error>,
        >,
    > + Send
    where
        Self: Sized,
        Self::Message: Sync,
        Self::Context: Sync,
        Self::Output: Send,
        Self::Error: Send,
    {
        async move {
            let entries = members::<Self, B>(begin, deliveries, context).await;
            entries.map_err(|failure| failure.error)
        }
    }
}

/// A batch of one. It is `Send` because the trait says that `call_batch` is. So a body that is not
/// `Send` is one error, there.
///
/// # Errors
/// See [`Error`].
#[allow(
    clippy::manual_async_fn,
    reason = "`Send` is said, and not found out in the body"
)]
pub fn only<H, B>(
    begin: B,
    message: &Received<H::Message>,
    context: &H::Context,
) -> impl Future<Output = Result<Outcome<H::Output, H::Replay>, Error<H::Error>>> + Send
where
    H: Handler,
    B: Begin<<H::Database as Database>::Connection>,
{
    async move {
        let mut entries = H::call_batch(begin, &[message], context).await?;
        entries.pop().expect("an entry for each delivery")
    }
}

/// Why a batch failed. Nothing was committed, unless the outcome of COMMIT is unknown.
#[derive(Debug)]
pub struct BatchFailure<E> {
    /// The delivery that failed, if it is known.
    pub(crate) member: Option<usize>,
    pub(crate) error: E,
}

impl<E> BatchFailure<E> {
    pub(crate) const fn of_all(error: E) -> Self {
        Self {
            member: None,
            error,
        }
    }
}

/// Handles many deliveries in one transaction, one after the other, in their order.
pub(crate) async fn members<H, B>(
    origin: B,
    deliveries: &[&Received<H::Message>],
    context: &H::Context,
) -> Result<Vec<BatchEntry<H::Output, H::Replay, H::Error>>, BatchFailure<Error<H::Error>>>
where
    H: Handler,
    B: Begin<<H::Database as Database>::Connection>,
{
    let identities = deliveries
        .iter()
        .map(|delivery| H::identity(delivery, context));
    let policy = Policy {
        retention: H::RETENTION,
        isolation: H::ISOLATION,
        ..Policy::new(H::SCOPE)
    };
    let mut batch = Batch::new(origin, policy, identities.collect(), false);
    let failed = |error: Error| BatchFailure::of_all(error.map_handler(|never| match never {}));
    batch.begin().await.map_err(failed)?;
    let mut entries = Vec::with_capacity(deliveries.len());
    let mut ends = HashMap::new();
    for (index, delivery) in deliveries.iter().enumerate() {
        if matches!(batch.place(index), Place::EmptyKey) {
            entries.push(Err(Error::EmptyKey));
            continue;
        }
        let is_new = matches!(batch.place(index), Place::New);
        let mut member = batch.member(index, &ends);
        let entry = H::call(batch.origin(&mut member), delivery, context).await;
        match (entry, member.into_end()) {
            (Ok(Outcome::Executed(value)), Some(end)) => {
                ends.insert(index, end);
                entries.push(Ok(Outcome::Executed(value)));
            }
            (Err(error), _) if is_new => {
                batch.execution().roll_back().await;
                return Err(BatchFailure {
                    member: Some(index),
                    error,
                });
            }
            (entry, _) => entries.push(entry),
        }
    }
    if ends.is_empty() {
        batch.execution().roll_back().await;
        return Ok(entries);
    }
    match batch.finish_members(ends).await {
        Ok(()) => Ok(entries),
        Err(FinishError::Conflict(error)) => {
            batch.execution().roll_back().await;
            Err(BatchFailure::of_all(Error::Store(error)))
        }
        Err(FinishError::Failed(error)) => Err(failed(error)),
    }
}
