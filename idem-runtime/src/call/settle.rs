//! How a call ends once its body has run: its result is stored and committed, or rolled back.

use std::fmt;

use super::Call;
use super::codec::Body;
use crate::begin::Begin;
use crate::error::Error;
use crate::execution::{FinishError, conflicts};
use crate::outcome::Outcome;
use crate::store::Store;

/// How one run of the body ended.
enum Settled<T, R, E> {
    /// For good.
    Ended(Result<Outcome<T, R>, Error<E>>),
    /// In a conflict: nothing is stored, and another attempt may win.
    Conflict(Error<E>),
}

impl<DB: Store, B: Begin<DB::Connection, Database = DB>, T, R, E> Call<DB, B, T, R, E> {
    /// Ends the call: stores, commits, or rolls back.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn end(&mut self, result: Result<T, E>) -> Result<Outcome<T, R>, Error<E>> {
        let settled = self.telemetry.span().within(self.settle(result)).await;
        conflicts::note(matches!(settled, Settled::Conflict(_)));
        let ended = match settled {
            Settled::Ended(ended) => ended,
            Settled::Conflict(error) => {
                self.execution.roll_back().await;
                Err(error)
            }
        };
        self.telemetry.end(&ended);
        ended
    }

    /// The same; `None` says to run the body again.
    pub async fn end_or_retry(
        &mut self,
        result: Result<T, E>,
    ) -> Option<Result<Outcome<T, R>, Error<E>>> {
        let settled = self.telemetry.span().within(self.settle(result)).await;
        conflicts::note(matches!(settled, Settled::Conflict(_)));
        let ended = match settled {
            Settled::Ended(ended) => ended,
            Settled::Conflict(error) => {
                self.execution.roll_back().await;
                if self.execution.another_attempt().await {
                    return None;
                }
                self.execution.roll_back().await;
                Err(error)
            }
        };
        self.telemetry.end(&ended);
        Some(ended)
    }

    async fn settle(&mut self, result: Result<T, E>) -> Settled<T, R, E> {
        match result {
            Ok(value) => self.settle_value(value).await,
            Err(error) => self.settle_error(error).await,
        }
    }

    async fn settle_value(&mut self, value: T) -> Settled<T, R, E> {
        let events = std::mem::replace(&mut self.events, Ok(Vec::new()));
        let encoded = events
            .map_err(Error::Store)
            .and_then(|events| Ok((events, self.on_duplicate.encode(&value)?)));
        let (events, body) = match encoded {
            Ok(encoded) => encoded,
            Err(error) => {
                self.execution.roll_back().await;
                return Settled::Ended(Err(error));
            }
        };
        match self.execution.finish(body.as_result(), events).await {
            Ok(()) => Settled::Ended(Ok(Outcome::Executed(value))),
            Err(error) => Settled::of(error),
        }
    }

    async fn settle_error(&mut self, error: E) -> Settled<T, R, E> {
        let cause = self.conflict.and_then(|find| find(&error));
        if cause.is_some_and(DB::is_conflict) {
            return Settled::Conflict(fresh(error));
        }
        // In a batch nobody can undo the effects of one alone: run by itself, the error is recorded.
        let is_member = self.execution.is_member();
        let body = match self.on_error.encode(&error).filter(|_| !is_member) {
            Some(Ok(body)) => body,
            unrecorded => {
                // An error that JSON can't hold could not be stored by the next delivery either, so
                // asking for one would never end. So the caller gets the error, whose disposition
                // decides. The claim is rolled back with the effects: if the message comes again
                // after all, that delivery is the first, and the effect still happens at most once.
                if let Some(Err(refused)) = unrecorded {
                    self.warn_of_unrecorded(&refused);
                }
                self.execution.roll_back().await;
                return Settled::Ended(Err(fresh(error)));
            }
        };
        let Err(unfinished) = self.record(&body).await else {
            return Settled::Ended(Err(fresh(error)));
        };
        // The error can be stored, but not now. The next delivery must store it. So the caller gets
        // what prevented it: given the handler's error, it might acknowledge this delivery.
        self.warn_of_unrecorded(&unfinished);
        self.execution.roll_back().await;
        Settled::of(unfinished)
    }

    fn warn_of_unrecorded(&self, why: &dyn fmt::Display) {
        tracing::warn!(
            idem.scope = &*self.execution.policy().scope,
            error = %why,
            "a permanent error was not recorded"
        );
    }

    /// Keeps the claim with a permanent error.
    async fn record(&mut self, body: &Body) -> Result<(), FinishError> {
        self.execution.undo_effects().await?;
        self.execution.finish(body.as_error(), Vec::new()).await
    }
}

/// What the body has just returned.
const fn fresh<E>(error: E) -> Error<E> {
    Error::Handler {
        error,
        replayed: false,
    }
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
