//! What an expansion calls: thin typed shells around an [`Execution`].

pub(crate) mod batch;
pub(crate) mod codec;
pub(crate) mod conflict;
pub(crate) mod fidelity;
pub(crate) mod inner_error;
mod key;
mod keyless;
mod replay;
pub(crate) mod returned;
mod settle;
pub(crate) mod spec;

use sqlx::error::DatabaseError;

use self::codec::{OnDuplicate, OnError};
use self::replay::replay;
use self::spec::Spec;
use crate::begin::{Begin, Supported};
use crate::error::Error;
use crate::event::OrderingKey;
use crate::execution::{ClaimResult, Execution};
use crate::key::StoredKey;
use crate::outbox::{Ids, Outbox, Row};
use crate::outcome::Outcome;
use crate::store::{Record, Store};
use crate::telemetry::{CallSpan, CallTelemetry};

pub use self::key::{Encoded, identity, key, key_type, ordering_key};
pub use self::keyless::{Transaction, transaction};
pub use self::replay::Replayer;

type FindDatabaseError<E> = for<'a> fn(&'a E) -> Option<&'a dyn DatabaseError>;

/// One call of a handler with a key.
#[derive(Debug)]
pub struct Call<DB: Store, B: Begin<DB::Connection, Database = DB>, T, R, E> {
    execution: Execution<DB, B>,
    on_duplicate: OnDuplicate<T, R>,
    on_error: OnError<E>,
    /// What the body emitted, or why it can't be written.
    events: Result<Vec<Row>, sqlx::Error>,
    conflict: Option<FindDatabaseError<E>>,
    // Dropped last, since its end is the end of the call.
    telemetry: CallTelemetry,
}

/// Starts a call of a handler with a key.
pub fn call<C: Supported, B: Begin<C>, K: ?Sized, T, R, E>(
    origin: B,
    spec: &'static Spec,
    key: Encoded<K>,
    fingerprint: Option<StoredKey>,
    on_duplicate: OnDuplicate<T, R>,
    on_error: OnError<E>,
) -> Call<B::Database, B, T, R, E> {
    let identity = spec.identity(key, fingerprint);
    Call {
        execution: Execution::new(
            origin,
            spec.policy.clone(),
            Some(identity),
            on_error.records(),
        )
        .learning(&spec.recent),
        on_duplicate,
        on_error,
        events: Ok(Vec::new()),
        conflict: None,
        telemetry: CallTelemetry::start(true, &spec.policy.scope, B::Database::SYSTEM),
    }
}

impl<DB: Store, B: Begin<DB::Connection, Database = DB>, T, R, E> Call<DB, B, T, R, E> {
    /// Says how the database's error is found in the handler's (`retry`).
    #[must_use]
    pub fn conflict(mut self, find: FindDatabaseError<E>) -> Self {
        self.conflict = Some(find);
        self
    }

    /// Claims the key. `Some` ends the call: another delivery came first, or it failed.
    pub async fn begin(&mut self) -> Option<Result<Outcome<T, R>, Error<E>>> {
        let claimed = self.telemetry.span().within(self.execution.begin()).await;
        let ended = match claimed {
            Ok(ClaimResult::Claimed) => {
                self.execution.note(false);
                self.telemetry.attempt();
                return None;
            }
            Ok(ClaimResult::Duplicate(record)) => {
                self.execution.note(true);
                self.replay(&record)
            }
            Err(error) => Err(error.map_handler(|never| match never {})),
        };
        self.telemetry.end(&ended);
        Some(ended)
    }

    fn replay(&self, record: &Record) -> Result<Outcome<T, R>, Error<E>> {
        replay(
            record,
            self.execution.fingerprint(),
            &self.on_duplicate,
            &self.on_error,
            self.execution.policy().result_version,
        )
        .map(Outcome::Replayed)
    }

    /// The span in which the body runs.
    pub fn span(&self) -> CallSpan {
        self.telemetry.span()
    }

    /// The transaction.
    pub fn connection(&mut self) -> &mut DB::Connection {
        self.execution.connection()
    }

    /// An empty outbox whose event IDs follow from this delivery.
    pub fn outbox<Ev>(&self) -> Outbox<Ev> {
        Outbox::new(self.ids())
    }

    fn ids(&self) -> Ids {
        match (self.execution.namespace(), self.execution.key()) {
            (Some(namespace), Some(key)) => Ids::of(namespace, &self.execution.policy().scope, key),
            _ => Ids::Minted,
        }
    }

    /// Takes what the body emitted.
    pub fn emit<Ev>(&mut self, outbox: Outbox<Ev>) {
        self.events = outbox.into_rows();
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
        if let Ok(value) = result {
            let mut outbox = Outbox::<()>::new(self.ids());
            outbox.add(topic, kind, key, value, &[]);
            self.emit(outbox);
        }
    }
}
