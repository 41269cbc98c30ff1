//! A call of a batch handler: many deliveries, one body, one transaction.

use super::codec::{Body, OnDuplicate, OnError};
use super::replay::replay;
use super::spec::Spec;
use super::{Encoded, FindDatabaseError};
use crate::begin::{Begin, Supported};
use crate::error::{BatchEntry, Error};
use crate::execution::{Batch, FinishError, Place, conflicts};
use crate::key::StoredKey;
use crate::outbox::{BatchOutbox, Ids, Row};
use crate::outcome::Outcome;
use crate::store::{End, Record, Store};
use crate::telemetry::{BatchTelemetry, CallSpan};

/// One call of a batch handler.
#[derive(Debug)]
pub struct BatchCall<DB: Store, B: Begin<DB::Connection, Database = DB>, T, R, E> {
    batch: Batch<DB, B>,
    on_duplicate: OnDuplicate<T, R>,
    on_error: OnError<E>,
    /// What the body emitted, or why it can't be written.
    events: Result<Vec<Row>, sqlx::Error>,
    conflict: Option<FindDatabaseError<E>>,
    // Dropped last, since its end is the end of the call.
    telemetry: BatchTelemetry,
}

/// What each delivery of a batch gets, or why all of it failed.
type Entries<T, R, E> = Result<Vec<BatchEntry<T, R, E>>, Error<E>>;

/// The results of a body: one for each event, or none for all of them.
pub trait Results<T> {
    /// The results of that many events.
    fn into_results(self, events: usize) -> Vec<T>;
}

impl<T> Results<T> for Vec<T> {
    fn into_results(self, _: usize) -> Vec<T> {
        self
    }
}

impl Results<()> for () {
    fn into_results(self, events: usize) -> Vec<()> {
        vec![(); events]
    }
}

/// Starts a call of a batch handler. `keys` are those of its events, each with its fingerprint.
pub fn batch<C: Supported, B: Begin<C>, K: ?Sized, T, R, E>(
    origin: B,
    spec: &'static Spec,
    keys: impl Iterator<Item = (Encoded<K>, Option<StoredKey>)>,
    on_duplicate: OnDuplicate<T, R>,
    on_error: OnError<E>,
) -> BatchCall<B::Database, B, T, R, E> {
    let identities: Vec<_> = keys
        .map(|(key, fingerprint)| spec.identity(key, fingerprint))
        .collect();
    let telemetry =
        BatchTelemetry::start(&spec.policy.scope, B::Database::SYSTEM, identities.len());
    // Of a batch of many, nobody knows whose the error is.
    let undoable = on_error.records() && identities.len() == 1;
    BatchCall {
        batch: Batch::new(origin, spec.policy.clone(), identities, undoable),
        on_duplicate,
        on_error,
        events: Ok(Vec::new()),
        conflict: None,
        telemetry,
    }
}

impl<DB: Store, B: Begin<DB::Connection, Database = DB>, T, R, E> BatchCall<DB, B, T, R, E> {
    /// Says how the database's error is found in the handler's (`retry`).
    #[must_use]
    pub fn conflict(mut self, find: FindDatabaseError<E>) -> Self {
        self.conflict = Some(find);
        self
    }

    /// Claims the keys. `Some` ends the call: none of them is new, or it failed.
    pub async fn begin(&mut self) -> Option<Entries<T, R, E>> {
        let begun = self.telemetry.span().within(self.batch.begin()).await;
        let ended = match begun {
            Ok(()) if self.batch.new_deliveries().is_empty() => {
                self.batch.execution().roll_back().await;
                Ok(self.entries(Vec::new(), &[]))
            }
            Ok(()) => {
                self.telemetry.attempt();
                return None;
            }
            Err(error) => Err(error.map_handler(|never| match never {})),
        };
        self.telemetry.end(&ended);
        Some(ended)
    }

    /// The events that no earlier delivery handled, each once.
    pub fn new_events<M: Copy>(&self, events: &[M]) -> Vec<M> {
        let new = self.batch.new_deliveries().iter();
        new.map(|delivery| events[*delivery]).collect()
    }

    /// The span in which the body runs.
    pub fn span(&self) -> CallSpan {
        self.telemetry.span()
    }

    /// The transaction.
    pub fn connection(&mut self) -> &mut DB::Connection {
        self.batch.execution().connection()
    }

    /// An empty outbox whose event IDs follow from the new deliveries.
    pub fn outbox<Ev>(&self) -> BatchOutbox<Ev> {
        let ids = self.batch.new_deliveries().iter().map(|delivery| {
            self.batch.namespace().map_or(Ids::Minted, |namespace| {
                let key = &self.batch.identity(*delivery).key;
                Ids::of(namespace, &self.batch.policy().scope, key)
            })
        });
        BatchOutbox::new(ids.collect())
    }

    /// Takes what the body emitted.
    pub fn emit<Ev>(&mut self, outbox: BatchOutbox<Ev>) {
        self.events = outbox.into_rows();
    }

    /// Ends the call: stores, commits, or rolls back.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn end<O: Results<T>>(&mut self, result: Result<O, E>) -> Entries<T, R, E> {
        let settled = self.telemetry.span().within(self.settle(result)).await;
        conflicts::note(matches!(settled, Settled::Conflict(_)));
        let ended = match settled {
            Settled::Ended(ended) => ended,
            Settled::Conflict(error) => {
                self.batch.execution().roll_back().await;
                Err(error)
            }
        };
        self.telemetry.end(&ended);
        ended
    }

    /// The same; `None` says to run the body again.
    pub async fn end_or_retry<O: Results<T>>(
        &mut self,
        result: Result<O, E>,
    ) -> Option<Entries<T, R, E>> {
        let settled = self.telemetry.span().within(self.settle(result)).await;
        conflicts::note(matches!(settled, Settled::Conflict(_)));
        let ended = match settled {
            Settled::Ended(ended) => ended,
            Settled::Conflict(error) => {
                let execution = self.batch.execution();
                execution.roll_back().await;
                if execution.another_attempt().await {
                    return None;
                }
                execution.roll_back().await;
                Err(error)
            }
        };
        self.telemetry.end(&ended);
        Some(ended)
    }

    async fn settle<O: Results<T>>(&mut self, result: Result<O, E>) -> Settled<T, R, E> {
        match result {
            Ok(results) => {
                let results = results.into_results(self.batch.new_deliveries().len());
                self.settle_results(results).await
            }
            Err(error) => self.settle_error(error).await,
        }
    }

    async fn settle_results(&mut self, results: Vec<T>) -> Settled<T, R, E> {
        let events = std::mem::replace(&mut self.events, Ok(Vec::new()));
        let (events, bodies) = match self.encoded(events, &results) {
            Ok(encoded) => encoded,
            Err(error) => {
                self.batch.execution().roll_back().await;
                return Settled::Ended(Err(error));
            }
        };
        let ends: Vec<_> = bodies.iter().map(Body::as_result).collect();
        match self.batch.finish(&ends, &events).await {
            Ok(()) => Settled::Ended(Ok(self.entries(results, &ends))),
            Err(error) => Settled::of(error),
        }
    }

    fn encoded(
        &self,
        events: Result<Vec<Row>, sqlx::Error>,
        results: &[T],
    ) -> Result<(Vec<Row>, Vec<Body>), Error<E>> {
        let new = self.batch.new_deliveries().len();
        if results.len() != new {
            return Err(Error::BatchLength {
                events: new,
                results: results.len(),
            });
        }
        let bodies = results
            .iter()
            .map(|result| self.on_duplicate.encode(result));
        Ok((
            events.map_err(Error::Store)?,
            bodies.collect::<Result<_, _>>()?,
        ))
    }

    async fn settle_error(&mut self, error: E) -> Settled<T, R, E> {
        let fresh = |error| Error::Handler {
            error,
            replayed: false,
        };
        let cause = self.conflict.and_then(|find| find(&error));
        if cause.is_some_and(DB::is_conflict) {
            return Settled::Conflict(fresh(error));
        }
        let alone = self.batch.len() == 1;
        let body = match self.on_error.encode(&error).filter(|_| alone) {
            Some(Ok(body)) => body,
            unrecorded => {
                // As in a call of one delivery: the caller gets the error, whose disposition decides.
                if let Some(Err(refused)) = unrecorded {
                    self.warn_of_unrecorded(&refused);
                }
                self.batch.execution().roll_back().await;
                return Settled::Ended(Err(fresh(error)));
            }
        };
        let Err(unfinished) = self.record(&body).await else {
            return Settled::Ended(Ok(vec![Err(fresh(error))]));
        };
        self.warn_of_unrecorded(&unfinished);
        self.batch.execution().roll_back().await;
        Settled::of(unfinished)
    }

    fn warn_of_unrecorded(&self, why: &dyn std::fmt::Display) {
        tracing::warn!(
            idem.scope = &*self.batch.policy().scope,
            error = %why,
            "a permanent error was not recorded"
        );
    }

    /// Keeps the claim of a batch of one with a permanent error.
    async fn record(&mut self, body: &Body) -> Result<(), FinishError> {
        self.batch.execution().undo_effects().await?;
        self.batch.finish(&[body.as_error()], &[]).await
    }

    /// What each delivery gets. `results` and `ends` are those of the new ones.
    fn entries(&self, results: Vec<T>, ends: &[End<'_>]) -> Vec<BatchEntry<T, R, E>> {
        let mut results = results.into_iter();
        let version = self.batch.policy().result_version;
        let replayed = |record: &Record, delivery: usize| {
            let fingerprint = self.batch.identity(delivery).fingerprint.as_ref();
            replay(
                record,
                fingerprint,
                &self.on_duplicate,
                &self.on_error,
                version,
            )
            .map(Outcome::Replayed)
        };
        let entry = |delivery: usize| match self.batch.place(delivery) {
            Place::New => Ok(Outcome::Executed(
                results.next().expect("a result for each new event"),
            )),
            Place::Known(record) => replayed(record, delivery),
            Place::Repeats(first) => {
                let place = self.batch.new_deliveries().binary_search(first);
                let end = ends[place.expect("the first delivery of this key is new")];
                let first = &self.batch.identity(*first).fingerprint;
                let record = Record {
                    state: end.state(),
                    fingerprint: first.as_ref().map(|first| first.as_bytes().to_vec()),
                    result_version: version,
                    body: end.body().map(<[u8]>::to_vec),
                };
                replayed(&record, delivery)
            }
            Place::EmptyKey => Err(Error::EmptyKey),
        };
        (0..self.batch.len()).map(entry).collect()
    }
}

/// How one run of the body ended.
enum Settled<T, R, E> {
    /// For good.
    Ended(Entries<T, R, E>),
    /// In a conflict: nothing is stored, and another attempt may win.
    Conflict(Error<E>),
}

impl<T, R, E> Settled<T, R, E> {
    fn of(error: FinishError) -> Self {
        match error {
            FinishError::Conflict(error) => Self::Conflict(Error::Store(error)),
            FinishError::Failed(error) => {
                Self::Ended(Err(error.map_handler(|never| match never {})))
            }
        }
    }
}
