//! From a delivery to the handler of its type.

use std::collections::HashMap;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt as _;
use sqlx::{Database, Pool};

use super::decode::Decode;
use super::error::ConsumerError;
use super::failure::{Cause, Failure, Judgement};
use crate::begin::OwnedPool;
use crate::disposition::Disposition;
use crate::error::Error;
use crate::execution::conflicts;
use crate::handler::Handler;
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
    type Error;

    /// The namespace of its keys, which names it in logs.
    const SCOPE: &'static str;

    /// Handles one delivery.
    #[doc(hidden)]
    fn deliver(
        pool: &Pool<DB>,
        message: &Received<Self::Message>,
        context: &Self::Context,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

#[diagnostic::do_not_recommend]
impl<H: Handler> Route<H::Database> for H {
    type Message = H::Message;
    type Context = H::Context;
    type Error = Error<H::Error>;

    const SCOPE: &'static str = H::SCOPE;

    async fn deliver(
        pool: &Pool<H::Database>,
        message: &Received<H::Message>,
        context: &H::Context,
    ) -> Result<(), Error<H::Error>> {
        H::call(OwnedPool(pool.clone()), message, context)
            .await
            .map(drop)
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
}

impl Ended {
    fn of(judgement: Judgement, lost_to_another: bool) -> Self {
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

pub(super) type Run = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// A route, whatever its types.
pub(super) trait AnyRoute<DB: Store>: Send + Sync {
    fn scope(&self) -> &'static str;

    /// Decodes and handles a delivery, which is dropped before this ends.
    fn run(&self, pool: Pool<DB>, delivery: Arc<dyn Content>, attempt: u32) -> Run;
}

/// A handler with what it needs.
pub(super) struct HandlerRoute<R, C, F> {
    pub(super) context: Arc<C>,
    pub(super) format: Arc<F>,
    pub(super) handler: PhantomData<fn() -> R>,
}

impl<DB, R, F> AnyRoute<DB> for HandlerRoute<R, R::Context, F>
where
    DB: Store,
    R: Route<DB>,
    R::Error: Failure,
    F: Decode<R::Message>,
{
    fn scope(&self) -> &'static str {
        R::SCOPE
    }

    fn run(&self, pool: Pool<DB>, delivery: Arc<dyn Content>, attempt: u32) -> Run {
        let (context, format) = (Arc::clone(&self.context), Arc::clone(&self.format));
        Box::pin(async move {
            let handled = async {
                let received = match received(&*format, delivery.message(), attempt) {
                    Ok(received) => received,
                    Err(ended) => return ended,
                };
                // The message is not kept twice while it is handled.
                drop(delivery);
                let (result, lost) =
                    conflicts::observed(R::deliver(&pool, &received, &context)).await;
                match result {
                    Ok(()) => Ended::Done,
                    Err(error) => Ended::of(error.judge::<DB>(), lost),
                }
            };
            let ended = AssertUnwindSafe(handled).catch_unwind().await;
            ended.unwrap_or(Ended::Panicked)
        })
    }
}

fn received<M, F: Decode<M>>(
    format: &F,
    incoming: &Incoming,
    attempt: u32,
) -> Result<Received<M>, Ended> {
    let data = format.decode(incoming).map_err(|error| Ended::GivenUp {
        reason: error.to_string(),
    })?;
    Ok(Received {
        id: incoming.id.clone(),
        source: incoming.source.clone(),
        key: incoming.key.clone(),
        published_at: incoming.published_at,
        attempt,
        headers: incoming.headers.clone(),
        data,
    })
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

    pub(super) fn of(&self, kind: &str) -> Option<&Arc<dyn AnyRoute<DB>>> {
        self.0.get(kind)
    }
}
