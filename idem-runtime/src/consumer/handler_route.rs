//! A handler behind its route: decodes a delivery, or many, and calls it.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use sqlx::Pool;

use super::batch::Batch;
use super::decode::Decode;
use super::failure::Failure;
use super::route::{AnyRoute, Content, Ended, Route, Run};
use crate::execution::conflicts;
use crate::message::Received;
use crate::source::Incoming;
use crate::store::Store;

/// A handler with what it needs.
pub(super) struct HandlerRoute<R, C, F> {
    context: Arc<C>,
    format: Arc<F>,
    /// It changed settings in a batch, which the next body would have found.
    is_alone: Arc<AtomicBool>,
    handler: PhantomData<fn() -> R>,
}

impl<R, C, F> HandlerRoute<R, C, F> {
    pub(super) fn new(context: C, format: Arc<F>) -> Self {
        Self {
            context: Arc::new(context),
            format,
            is_alone: Arc::default(),
            handler: PhantomData,
        }
    }
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

    fn is_batch(&self) -> bool {
        R::BATCH
    }

    fn is_batchable(&self) -> bool {
        !R::ALONE && !self.is_alone.load(Ordering::Relaxed)
    }

    fn run_batch(
        &self,
        pool: Pool<DB>,
        deliveries: Vec<(Arc<dyn Content>, u32)>,
    ) -> Run<Vec<Ended>> {
        let format = Arc::clone(&self.format);
        let batch = Batch::<DB, R> {
            pool,
            context: Arc::clone(&self.context),
            is_alone: Arc::clone(&self.is_alone),
        };
        Box::pin(async move {
            let received = deliveries.iter().map(|(delivery, attempt)| {
                let decoded = || received(&*format, delivery.message(), *attempt);
                catch_unwind(AssertUnwindSafe(decoded)).unwrap_or(Err(Ended::Panicked))
            });
            let received: Vec<_> = received.collect();
            // No message is kept twice while it is handled.
            drop(deliveries);
            batch.run(received).await
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
