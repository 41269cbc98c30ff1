//! Ordinary handlers in a batch: one claim for all, each body by itself, one end for all.

use std::collections::HashMap;

use sqlx::Database;

use super::BatchEntry;
use crate::begin::Begin;
use crate::error::Error;
use crate::execution::{Batch, FinishError, Place, Policy};
use crate::handler::Handler;
use crate::message::Received;
use crate::outcome::Outcome;

/// Why a batch failed. Nothing was committed.
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
