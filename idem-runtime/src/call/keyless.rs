//! A call of a handler with `#[outbox]` and no key.

use super::Call;
use super::codec::{rollback, skip};
use super::spec::Spec;
use crate::begin::{Begin, Supported};
use crate::error::Error;
use crate::event::OrderingKey;
use crate::execution::Execution;
use crate::outbox::Outbox;
use crate::outcome::Outcome;
use crate::store::Store;
use crate::telemetry::{CallSpan, CallTelemetry};

/// One call of a handler with an outbox and no key.
#[derive(Debug)]
pub struct Transaction<DB: Store, B: Begin<DB::Connection, Database = DB>, T, E> {
    call: Call<DB, B, T, (), E>,
}

/// Starts a call of a handler with an outbox and no key.
pub fn transaction<C: Supported, B: Begin<C>, T, E>(
    origin: B,
    spec: &'static Spec,
) -> Transaction<B::Database, B, T, E> {
    Transaction {
        call: Call {
            execution: Execution::new(origin, spec.policy.clone(), None, false),
            on_duplicate: skip(),
            on_error: rollback(),
            events: Ok(Vec::new()),
            conflict: None,
            telemetry: CallTelemetry::start(false, &spec.policy.scope, B::Database::SYSTEM),
        },
    }
}

impl<DB: Store, B: Begin<DB::Connection, Database = DB>, T, E> Transaction<DB, B, T, E> {
    /// Opens the transaction.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn begin(&mut self) -> Result<(), Error<E>> {
        match self.call.begin().await {
            Some(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// The span in which the body runs.
    pub fn span(&self) -> CallSpan {
        self.call.span()
    }

    /// The transaction.
    pub fn connection(&mut self) -> &mut DB::Connection {
        self.call.connection()
    }

    /// An empty outbox whose event IDs are minted.
    pub fn outbox<Ev>(&self) -> Outbox<Ev> {
        self.call.outbox()
    }

    /// Takes what the body emitted.
    pub fn emit<Ev>(&mut self, outbox: Outbox<Ev>) {
        self.call.emit(outbox);
    }

    /// Takes the body's value as an event.
    pub fn emit_value(
        &mut self,
        topic: &'static str,
        kind: &'static str,
        key: Option<OrderingKey>,
        result: &Result<T, E>,
    ) where
        T: serde::Serialize,
    {
        self.call.emit_value(topic, kind, key, result);
    }

    /// Ends the call: writes the events and commits, or rolls back.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn end(&mut self, result: Result<T, E>) -> Result<T, Error<E>> {
        match self.call.end(result).await? {
            Outcome::Executed(value) => Ok(value),
            Outcome::Replayed(()) => unreachable!("a call without a key has no earlier delivery"),
        }
    }
}
