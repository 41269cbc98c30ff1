//! From a delivery to the handler of its type.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Database, Pool};

use super::error::ConsumerError;
use super::failure::{Cause, Judgement};
use crate::begin::{Begin, OwnedPool};
use crate::disposition::Disposition;
use crate::error::Error;
use crate::handler::{BatchFailure, Handler, members};
use crate::message::Received;
use crate::source::{Delivery, Incoming};
use crate::store::Store;

/// What a [`Consumer`](crate::Consumer) can deliver to: every [`Handler`], on its database.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler on `{DB}`",
    label = "not a handler, or one of another database",
    note = "`#[idempotent(key = \"...\", handler = {Self})]` on the function emits one",
    note = "all handlers of a consumer are on the database of its pool"
)]
pub trait Route<DB: Database>: 'static {
    /// What is delivered.
    type Message: Send + Sync + 'static;
    /// What it borrows besides the message; `()` if nothing.
    type Context: Send + Sync + 'static;
    /// How it fails.
    type Error: Send;

    /// The namespace of its keys, which names it in logs.
    const SCOPE: &'static str;

    /// Whether its body takes many messages at once.
    #[doc(hidden)]
    const BATCH: bool = false;

    /// Whether each of its messages needs a transaction of its own.
    #[doc(hidden)]
    const ALONE: bool = true;

    /// Handles one delivery.
    #[doc(hidden)]
    fn deliver(
        pool: &Pool<DB>,
        message: &Received<Self::Message>,
        context: &Self::Context,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Handles many deliveries in one transaction; unless it says otherwise, each in its own.
    #[doc(hidden)]
    fn deliver_batch(
        pool: &Pool<DB>,
        messages: &[&Received<Self::Message>],
        context: &Self::Context,
    ) -> impl Future<Output = BatchResult<Self::Error>> + Send {
        async move {
            let mut ended = Vec::with_capacity(messages.len());
            for message in messages {
                ended.push(Self::deliver(pool, message, context).await);
            }
            Ok(ended)
        }
    }
}

/// How each delivery of a batch ended, or why all of it failed.
type BatchResult<E> = Result<Vec<Result<(), E>>, BatchFailure<E>>;

#[diagnostic::do_not_recommend]
impl<H: Handler> Route<H::Database> for H {
    type Message = H::Message;
    type Context = H::Context;
    type Error = Error<H::Error>;

    const SCOPE: &'static str = H::SCOPE;
    const BATCH: bool = H::BATCH;
    // A body that is one for all of them changes nobody else's settings.
    const ALONE: bool = !H::BATCH && (H::SETS || H::ISOLATION.is_some());

    async fn deliver(
        pool: &Pool<H::Database>,
        message: &Received<H::Message>,
        context: &H::Context,
    ) -> Result<(), Error<H::Error>> {
        H::call(OwnedPool(pool.clone()), message, context)
            .await
            .map(drop)
    }

    async fn deliver_batch(
        pool: &Pool<H::Database>,
        messages: &[&Received<H::Message>],
        context: &H::Context,
    ) -> BatchResult<Error<H::Error>> {
        let origin = BatchPool(pool.clone());
        let entries = if H::BATCH {
            let entries = H::call_batch(origin, messages, context).await;
            entries.map_err(BatchFailure::of_all)?
        } else {
            members::<H, _>(origin, messages, context).await?
        };
        Ok(entries.into_iter().map(|entry| entry.map(drop)).collect())
    }
}

/// How long the claim of a batch may wait here: a key that is handled elsewhere is waited for by its
/// own delivery, and not by all of the batch.
const CLAIM_WAIT: Duration = Duration::from_millis(50);

/// Where the calls of batches come from.
#[derive(Debug)]
struct BatchPool<DB: Store>(Pool<DB>);

impl<DB: Store> Begin<DB::Connection> for BatchPool<DB> {
    type Database = DB;

    fn pool(&self) -> Option<&Pool<DB>> {
        Some(&self.0)
    }

    fn longest_wait(&self) -> Option<Duration> {
        Some(CLAIM_WAIT)
    }
}

/// The context of a handler that takes none.
#[diagnostic::on_unimplemented(
    message = "this handler takes a context, a `{Self}`",
    label = "takes a context",
    note = "pass it: `.on_with::<...>(context)` or `.on_type_with::<...>(name, context)`"
)]
pub trait NoContext {
    #[doc(hidden)]
    const NONE: Self;
}

impl NoContext for () {
    const NONE: Self = ();
}

/// How a delivery ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Handled now or before, or there is nothing to do.
    Done,
    /// To be tried again.
    Failed {
        counts: bool,
        cause: Cause,
        reason: String,
    },
    /// To be tried no more.
    GivenUp { reason: String },
    /// The handler panicked.
    Panicked,
    /// Its batch failed, and nobody knows by whose fault: to be run by itself.
    Alone(Cause),
}

impl Ended {
    pub(super) fn of(judgement: Judgement, lost_to_another: bool) -> Self {
        match judgement.disposition {
            Disposition::Ack => Self::Done,
            Disposition::Retry => Self::Failed {
                counts: judgement.counts && !lost_to_another,
                cause: judgement.cause,
                reason: judgement.reason,
            },
            Disposition::DeadLetter => Self::GivenUp {
                reason: judgement.reason,
            },
        }
    }
}

/// A delivery of any source.
pub(super) trait Content: Send + Sync {
    fn message(&self) -> &Incoming;
}

impl<D: Delivery> Content for D {
    fn message(&self) -> &Incoming {
        self.incoming()
    }
}

/// One run: of one delivery, or of many in one transaction.
pub(super) type Run<T = Ended> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A route, whatever its types.
pub(super) trait AnyRoute<DB: Store>: Send + Sync {
    fn scope(&self) -> &'static str;

    /// Decodes and handles a delivery, which is dropped before this ends.
    fn run(&self, pool: Pool<DB>, delivery: Arc<dyn Content>, attempt: u32) -> Run;

    /// Whether its body takes many messages at once.
    fn is_batch(&self) -> bool;

    /// Whether its messages can be handled in one transaction with others of it.
    fn is_batchable(&self) -> bool;

    /// Decodes and handles many deliveries in one transaction, or in several after a failure. How
    /// each of them ended, in their order.
    fn run_batch(
        &self,
        pool: Pool<DB>,
        deliveries: Vec<(Arc<dyn Content>, u32)>,
    ) -> Run<Vec<Ended>>;
}

/// All handlers of a consumer, by the type of their messages.
pub(super) struct Routes<DB: Store>(HashMap<String, Arc<dyn AnyRoute<DB>>>);

impl<DB: Store> Routes<DB> {
    pub(super) fn new(routes: Vec<(String, Arc<dyn AnyRoute<DB>>)>) -> Result<Self, ConsumerError> {
        let mut by_kind = HashMap::new();
        for (kind, route) in routes {
            if by_kind.insert(kind.clone(), route).is_some() {
                return Err(ConsumerError::TwoHandlers { kind });
            }
        }
        if by_kind.is_empty() {
            return Err(ConsumerError::NoHandler);
        }
        Ok(Self(by_kind))
    }

    /// The handlers that take many messages at once.
    pub(super) fn batch_scopes(&self) -> impl Iterator<Item = &'static str> {
        let batch = self.0.values().filter(|route| route.is_batch());
        batch.map(|route| route.scope())
    }

    pub(super) fn of(&self, kind: &str) -> Option<&Arc<dyn AnyRoute<DB>>> {
        self.0.get(kind)
    }
}
