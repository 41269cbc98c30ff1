//! What an expansion calls: thin typed shells around [`Run`].

use std::marker::PhantomData;

use crate::begin::{Begin, Supported};
use crate::codec::{Body, OnDuplicate, OnError, rollback};
use crate::error::Error;
use crate::event::OrderingKey;
use crate::key::{Key, StoredKey};
use crate::outbox::{Ids, Outbox};
use crate::outcome::Outcome;
use crate::run::{Begun, Keyed, Run, Unended};
use crate::spec::Spec;
use crate::store::{Fault, Record, State, Store};
use crate::telemetry::{CallSpan, Watch};

/// A key in its stored form, and the type it came from.
#[derive(Debug)]
pub struct Encoded<K: ?Sized> {
    key: StoredKey,
    of: PhantomData<fn(&K)>,
}

impl<K: ?Sized> Encoded<K> {
    /// Forgets the type.
    pub fn erase(self) -> StoredKey {
        self.key
    }
}

/// Encodes a key or a fingerprint.
pub fn key<K: Key + ?Sized>(key: &K) -> Encoded<K> {
    Encoded {
        key: StoredKey::of(key),
        of: PhantomData,
    }
}

/// The type of a key expression, found by inference: `probe` is never called.
pub fn key_type<A, K: Key + ?Sized, F: Fn(A) -> Encoded<K>>(_probe: F) -> String {
    K::name()
}

/// Makes an ordering key.
pub fn ordering_key<K: Key + ?Sized>(key: &K) -> OrderingKey {
    OrderingKey::of(key)
}

type FindDatabaseError<E> = for<'a> fn(&'a E) -> Option<&'a sqlx::Error>;

/// One call of a handler with a key.
#[derive(Debug)]
pub struct Call<DB: Store, B: Begin<DB::Connection, Database = DB>, T, R, E> {
    run: Run<DB, B>,
    on_duplicate: OnDuplicate<T, R>,
    on_error: OnError<E>,
    unencoded: Option<sqlx::Error>,
    conflict: Option<FindDatabaseError<E>>,
    // Dropped last: its end is the call's.
    watch: Watch,
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
    let hash = |key: StoredKey| if spec.hash_key { key.hashed() } else { key };
    let keyed = Keyed {
        key: hash(key.key),
        fingerprint: fingerprint.map(hash),
    };
    Call {
        run: Run::new(origin, spec, Some(keyed), on_error.records()),
        on_duplicate,
        on_error,
        unencoded: None,
        conflict: None,
        watch: Watch::start(true, spec.scope, B::Database::SYSTEM),
    }
}

impl<DB: Store, B: Begin<DB::Connection, Database = DB>, T, R, E> Call<DB, B, T, R, E> {
    /// Tells how the database's error is found in the handler's (`retry`).
    #[must_use]
    pub fn conflict(mut self, find: FindDatabaseError<E>) -> Self {
        self.conflict = Some(find);
        self
    }

    /// Claims the key. `Some` ends the call: another delivery came first, or it failed.
    pub async fn begin(&mut self) -> Option<Result<Outcome<T, R>, Error<E>>> {
        let begun = self.watch.span().within(self.run.begin()).await;
        let ended = match begun {
            Ok(Begun::Claimed) => {
                self.run.record(false);
                self.watch.attempt();
                return None;
            }
            Ok(Begun::Replay(record)) => {
                self.run.record(true);
                self.replayed(&record)
            }
            Err(error) => Err(error.map_handler(|never| match never {})),
        };
        self.watch.end_at_claim(&ended);
        Some(ended)
    }

    fn replayed(&self, record: &Record) -> Result<Outcome<T, R>, Error<E>> {
        if record.state == State::Claimed {
            return Err(Error::Unfinished);
        }
        if let (Some(stored), Some(now)) = (&record.fingerprint, self.run.fingerprint())
            && stored != now.as_bytes()
        {
            return Err(Error::FingerprintMismatch);
        }
        if record.state == State::Error {
            let error = self.on_error.decode(record.body.as_deref());
            return Err(error.map_or(Error::ResultUndecodable, Error::Handler));
        }
        self.on_duplicate
            .decode(record, self.run.spec().result_version)
            .map(Outcome::Replayed)
            .ok_or(Error::ResultUndecodable)
    }

    /// The span in which the body runs.
    pub fn span(&self) -> CallSpan {
        self.watch.span()
    }

    /// The transaction.
    pub fn connection(&mut self) -> &mut DB::Connection {
        self.run.connection()
    }

    /// An empty outbox whose event IDs follow from this delivery.
    pub fn outbox<Ev>(&self) -> Outbox<Ev> {
        Outbox::new(self.ids())
    }

    fn ids(&self) -> Ids {
        self.run
            .key()
            .map_or(Ids::Minted, |key| Ids::of(self.run.spec().scope, key))
    }

    /// Takes what the body emitted.
    pub fn emit<Ev>(&mut self, outbox: Outbox<Ev>) {
        match outbox.into_rows() {
            Ok(rows) => self.run.events = rows,
            Err(error) => self.unencoded = Some(error),
        }
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

    /// Ends the call: stores, commits, or rolls back.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn end(&mut self, result: Result<T, E>) -> Result<Outcome<T, R>, Error<E>> {
        match self.watch.span().within(self.settle(result)).await {
            Ok(ended) => ended,
            Err(Retryable(error)) => self.give_up(error).await,
        }
    }

    /// The same; `None` says to run the body again.
    pub async fn end_or_retry(
        &mut self,
        result: Result<T, E>,
    ) -> Option<Result<Outcome<T, R>, Error<E>>> {
        match self.watch.span().within(self.settle(result)).await {
            Ok(ended) => Some(ended),
            Err(Retryable(error)) => {
                self.run.roll_back().await;
                if self.run.another_attempt().await {
                    None
                } else {
                    Some(self.give_up(error).await)
                }
            }
        }
    }

    async fn give_up(&mut self, error: Error<E>) -> Result<Outcome<T, R>, Error<E>> {
        self.run.roll_back().await;
        let ended = Err(error);
        self.watch.end(&ended);
        ended
    }

    async fn settle(
        &mut self,
        result: Result<T, E>,
    ) -> Result<Result<Outcome<T, R>, Error<E>>, Retryable<E>> {
        let ended = match result {
            Ok(value) => self.settle_value(value).await?,
            Err(error) => Err(self.settle_error(error).await?),
        };
        self.watch.end(&ended);
        Ok(ended)
    }

    async fn settle_value(
        &mut self,
        value: T,
    ) -> Result<Result<Outcome<T, R>, Error<E>>, Retryable<E>> {
        let encoded = match self.unencoded.take() {
            Some(error) => Err(error),
            None => self.on_duplicate.encode(&value),
        };
        let body = match encoded {
            Ok(body) => body,
            Err(error) => {
                self.run.roll_back().await;
                return Ok(Err(Error::Store(error)));
            }
        };
        match self.run.finish(body.as_result()).await {
            Ok(()) => Ok(Ok(Outcome::Executed(value))),
            Err(Unended::Conflict(error)) => Err(Retryable(Error::Store(error))),
            Err(Unended::Failed(error)) => Ok(Err(error.map_handler(|never| match never {}))),
        }
    }

    async fn settle_error(&mut self, error: E) -> Result<Error<E>, Retryable<E>> {
        self.unencoded = None;
        let cause = self.conflict.and_then(|find| find(&error));
        if cause.is_some_and(|cause| DB::fault(cause) == Fault::Conflict) {
            return Err(Retryable(Error::Handler(error)));
        }
        let unended = match self.on_error.encode(&error) {
            Some(Ok(body)) => match self.record(&body).await {
                Ok(()) => return Ok(Error::Handler(error)),
                Err(unended) => unended,
            },
            Some(Err(unencoded)) => Unended::Failed(Error::Store(unencoded)),
            None => {
                self.run.roll_back().await;
                return Ok(Error::Handler(error));
            }
        };
        // A permanent error is told when it is stored, and not before: its delivery is acknowledged, and the next one would
        // find nothing and run.
        tracing::warn!(
            idem.scope = self.run.spec().scope,
            error = %unended,
            "a permanent error was not recorded"
        );
        self.run.roll_back().await;
        match unended {
            Unended::Conflict(conflict) => Err(Retryable(Error::Store(conflict))),
            Unended::Failed(failed) => Ok(failed.map_handler(|never| match never {})),
        }
    }

    /// Keeps the claim with a permanent error.
    async fn record(&mut self, body: &Body) -> Result<(), Unended> {
        self.run.undo_effects().await?;
        self.run.finish(body.as_error()).await
    }
}

/// Nothing is stored; another attempt may win.
struct Retryable<E>(Error<E>);

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
            run: Run::new(origin, spec, None, false),
            on_duplicate: crate::codec::skip(),
            on_error: rollback(),
            unencoded: None,
            conflict: None,
            watch: Watch::start(false, spec.scope, B::Database::SYSTEM),
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
