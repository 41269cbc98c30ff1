//! What is explored: a handler with the deliveries of one batch.

use std::any::type_name;
use std::fmt::Debug;

use idem_runtime::{BatchEntry, Error, Handler, Outcome, Received};
use sqlx::Pool;

use super::returned::Returned;
use super::target::{DeliveryOutcome, Success, Target};
use crate::explorable::Explorable;

/// A [`Handler`], deliveries for it, what makes its context, and which of them come together.
pub(crate) struct BatchTarget<'a, H: Handler, C> {
    deliveries: &'a [Received<H::Message>],
    context: &'a C,
    /// The batches, one after the other, each of places in `deliveries`.
    batches: Vec<Vec<usize>>,
}

/// What is known of each delivery after some batches: what it returned, or its error.
type Entries = Vec<Option<Result<String, String>>>;

impl<'a, H: Handler, C> BatchTarget<'a, H, C> {
    /// All of them in one batch.
    pub(crate) fn new(deliveries: &'a [Received<H::Message>], context: &'a C) -> Self {
        Self {
            deliveries,
            context,
            batches: vec![(0..deliveries.len()).collect()],
        }
    }

    fn in_batches(&self, batches: Vec<Vec<usize>>) -> Self {
        Self { batches, ..*self }
    }
}

impl<H, C> Target for BatchTarget<'_, H, C>
where
    H: Handler<Database: Explorable, Output: Debug, Replay: Debug, Error: Debug>,
    C: Fn(&Pool<H::Database>) -> H::Context,
{
    type Database = H::Database;
    type Context = H::Context;

    fn name(&self) -> String {
        H::SCOPE.into()
    }

    fn start(&self, pool: &Pool<H::Database>) -> H::Context {
        (self.context)(pool)
    }

    async fn deliver(&self, pool: &Pool<H::Database>, context: &H::Context) -> DeliveryOutcome {
        let mut found: Entries = vec![None; self.deliveries.len()];
        let mut executed = false;
        for batch in &self.batches {
            let deliveries: Vec<_> = batch.iter().map(|at| &self.deliveries[*at]).collect();
            let begin = H::Database::begin(pool);
            let entries = match H::call_batch(begin, &deliveries, context).await {
                Ok(entries) => entries,
                Err(error) => return DeliveryOutcome::Failed(of_handler(&error)),
            };
            for (at, entry) in batch.iter().zip(&entries) {
                executed |= matches!(entry, Ok(outcome) if outcome.is_executed());
                found[*at] = shown::<H>(entry).or(found[*at].take());
            }
        }
        outcome(found, executed)
    }

    fn compositions(&self) -> Vec<(&'static str, Self)> {
        let all = || 0..self.deliveries.len();
        let mut alone: Vec<_> = all().map(|at| vec![at]).collect();
        // And once more together, so that each of them is a duplicate.
        alone.push(all().collect());
        vec![
            ("each alone, then all in one batch", self.in_batches(alone)),
            (
                "in one batch, in reversed order",
                self.in_batches(vec![all().rev().collect()]),
            ),
            (
                "the first one alone, then all in one batch",
                self.in_batches(vec![vec![0], all().collect()]),
            ),
        ]
    }
}

/// `None` for a duplicate that gets nothing.
fn shown<H>(entry: &BatchEntry<H::Output, H::Replay, H::Error>) -> Option<Result<String, String>>
where
    H: Handler<Output: Debug, Replay: Debug, Error: Debug>,
{
    match entry {
        Ok(Outcome::Executed(output)) => Some(Ok(format!("{output:?}"))),
        Ok(Outcome::Replayed(replay)) => (type_name::<H::Replay>() == type_name::<H::Output>())
            .then(|| Ok(format!("{replay:?}"))),
        Err(error) => Some(Err(of_handler(error))),
    }
}

/// Whether a recorded error is replayed does not matter.
fn of_handler<E: Debug>(error: &Error<E>) -> String {
    match error {
        Error::Handler { error, .. } => format!("{error:?}"),
        error => format!("{error:?}"),
    }
}

fn outcome(found: Entries, executed: bool) -> DeliveryOutcome {
    let is_error = |entry: &Option<Result<_, _>>| matches!(entry, Some(Err(_)));
    if found.iter().any(is_error) {
        let errors = (1..).zip(&found).filter_map(|(number, entry)| match entry {
            Some(Err(error)) => Some(format!("message {number}: {error}")),
            _ => None,
        });
        return DeliveryOutcome::Failed(errors.collect::<Vec<_>>().join(", "));
    }
    let returned: Option<Vec<_>> = found.into_iter().map(|entry| entry?.ok()).collect();
    DeliveryOutcome::Ok(Success {
        label: if executed {
            "Ok, executed"
        } else {
            "Ok, replayed"
        },
        returned: returned.map(Returned::of_batch),
    })
}
