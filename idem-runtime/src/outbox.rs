//! Events that exist if and only if the effect does.

mod batch;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::marker::PhantomData;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::event::{Emits, Event, EventId, OrderingKey};
use crate::key::StoredKey;
use crate::shard::shard_of;

pub use self::batch::{BatchOutbox, OutboxOf};

/// A row of `idem_outbox`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: Uuid,
    pub(crate) shard: u8,
    pub(crate) topic: &'static str,
    pub(crate) key: Option<String>,
    pub(crate) kind: &'static str,
    pub(crate) payload: Vec<u8>,
    pub(crate) content_type: &'static str,
    pub(crate) headers: String,
}

/// Never shows the payload.
impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row")
            .field("id", &self.id)
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// Collects the events of one handler. `E` is one event type or a tuple of them; only these can be
/// emitted.
///
/// The rows are written in one statement after the handler's body, in its transaction: they exist
/// if and only if its effect does. See [the guide](crate::guide::the_outbox).
///
/// Until then they are kept in memory, for the whole call: one that was emitted while a nested
/// transaction (`tx.begin()`) was open stays when that one is rolled back. Emit after its commit;
/// the guide has [an example](crate::guide::the_outbox#nested-transactions).
///
/// ```
/// # #[cfg(all(feature = "macros", feature = "sqlite"))]
/// # mod example {
/// use idem_runtime::{Event, Outbox, idempotent, outbox};
/// use serde::Serialize;
/// use sqlx::SqliteConnection;
///
/// #[derive(Serialize, Event)]
/// #[event(topic = "users.registered", key = "user")]
/// struct UserRegistered {
///     user: i64,
/// }
///
/// #[derive(Serialize, Event)]
/// #[event(topic = "mails.due")]
/// struct MailDue {
///     to: i64,
/// }
///
/// #[idempotent(key = "user")]
/// #[outbox]
/// async fn register(
///     tx: &mut SqliteConnection,
///     outbox: &mut Outbox<(UserRegistered, MailDue)>,
///     user: i64,
/// ) -> Result<(), sqlx::Error> {
///     sqlx::query("INSERT INTO users (id) VALUES ($1)").bind(user).execute(&mut *tx).await?;
///     outbox.emit(&UserRegistered { user });
///     outbox.emit_with(&MailDue { to: user }, &[("tenant", "acme")]);
///     Ok(())
/// }
/// # }
/// ```
pub struct Outbox<E> {
    emitted: Emitted,
    ids: Ids,
    events: PhantomData<fn(E)>,
}

impl<E> fmt::Debug for Outbox<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("events", &self.emitted.rows.len())
            .finish_non_exhaustive()
    }
}

impl<E> Outbox<E> {
    pub(crate) fn new(ids: Ids) -> Self {
        Self {
            emitted: Emitted::default(),
            ids,
            events: PhantomData,
        }
    }

    /// Adds an event. It is published after the commit, at least once, under the returned ID.
    ///
    /// Inside `#[idempotent]` the ID is derived from the database's namespace, the handler's scope
    /// and key, the event's type, and its ordinal among the events of that type: a handler that
    /// runs again emits the same IDs, if it emits the events of one type in the same order. In
    /// `#[outbox]` alone it is a UUID of version 7.
    ///
    /// An event that does not serialize fails the handler after its body, before COMMIT. Rolling
    /// back a nested transaction does not take an event back.
    pub fn emit<Ev, Place>(&mut self, event: &Ev) -> EventId
    where
        Ev: Event,
        E: Emits<Ev, Place>,
    {
        self.emit_with(event, &[])
    }

    /// Adds an event with these headers. It also gets `causation` under `#[idempotent]`, and
    /// `traceparent` with the feature `opentelemetry`; a header of the same name takes their place.
    pub fn emit_with<Ev, Place>(&mut self, event: &Ev, headers: &[(&str, &str)]) -> EventId
    where
        Ev: Event,
        E: Emits<Ev, Place>,
    {
        self.add(Ev::TOPIC, Ev::TYPE, event.ordering_key(), event, headers)
    }

    pub(crate) fn add<T: serde::Serialize>(
        &mut self,
        topic: &'static str,
        kind: &'static str,
        key: Option<OrderingKey>,
        value: &T,
        headers: &[(&str, &str)],
    ) -> EventId {
        self.emitted
            .add(&mut self.ids, topic, kind, key, value, headers)
    }

    pub(crate) fn into_rows(self) -> Result<Vec<Row>, sqlx::Error> {
        self.emitted.into_rows()
    }
}

/// What was emitted, in its order.
#[derive(Default)]
struct Emitted {
    rows: Vec<Row>,
    failed: Option<serde_json::Error>,
}

impl Emitted {
    fn add<T: serde::Serialize>(
        &mut self,
        ids: &mut Ids,
        topic: &'static str,
        kind: &'static str,
        key: Option<OrderingKey>,
        value: &T,
        headers: &[(&str, &str)],
    ) -> EventId {
        let key = key.map(OrderingKey::into_string);
        let id = ids.next(kind);
        match serde_json::to_vec(value) {
            Ok(payload) => self.rows.push(Row {
                id,
                shard: shard_of(key.as_deref(), id),
                topic,
                key,
                kind,
                payload,
                content_type: "application/json",
                headers: ids.headers(headers),
            }),
            Err(error) => {
                self.failed.get_or_insert(error);
            }
        }
        EventId::new(id)
    }

    fn into_rows(self) -> Result<Vec<Row>, sqlx::Error> {
        match self.failed {
            Some(error) => Err(sqlx::Error::Encode(error.into())),
            None => Ok(self.rows),
        }
    }
}

/// Where event IDs come from.
#[derive(Debug)]
pub(crate) enum Ids {
    /// Of the delivery that causes the events.
    Derived {
        seed: [u8; 32],
        causation: String,
        ordinals: HashMap<&'static str, u32>,
    },
    /// Of the clock.
    Minted,
}

impl Ids {
    pub(crate) fn of(namespace: Uuid, scope: &str, key: &StoredKey) -> Self {
        let mut hash = Sha256::new();
        hash.update(namespace.as_bytes());
        hash_part(&mut hash, scope.as_bytes());
        hash_part(&mut hash, key.as_bytes());
        Self::Derived {
            seed: hash.finalize().into(),
            causation: key.to_text(),
            ordinals: HashMap::new(),
        }
    }

    /// Nothing that the database generated is part of an ID, so the ordering key is not either: it
    /// may be the number of a row that the handler inserted.
    fn next(&mut self, kind: &'static str) -> Uuid {
        let Self::Derived { seed, ordinals, .. } = self else {
            return Uuid::now_v7();
        };
        let ordinal = ordinals.entry(kind).or_insert(0);
        let mut hash = Sha256::new();
        hash.update(seed);
        hash_part(&mut hash, kind.as_bytes());
        hash.update(ordinal.to_be_bytes());
        *ordinal += 1;
        let digest: [u8; 32] = hash.finalize().into();
        let (id, _) = digest.split_first_chunk().expect("32 bytes hold 16");
        uuid::Builder::from_custom_bytes(*id).into_uuid()
    }

    fn headers(&self, user: &[(&str, &str)]) -> String {
        let mut headers: BTreeMap<&str, &str> = user.iter().copied().collect();
        let traceparent = crate::telemetry::traceparent();
        if let Some(traceparent) = &traceparent {
            headers.entry("traceparent").or_insert(traceparent);
        }
        if let Self::Derived { causation, .. } = self {
            headers.entry("causation").or_insert(causation);
        }
        serde_json::to_string(&headers).expect("a map of strings serializes")
    }
}

fn hash_part(hash: &mut Sha256, part: &[u8]) {
    hash.update((part.len() as u64).to_be_bytes());
    hash.update(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outbox_and_its_rows_show_no_payload() {
        let mut outbox = Outbox::<()>::new(Ids::Minted);
        outbox.add(
            "orders.placed",
            "OrderPlaced",
            None,
            &"secret",
            &[("tenant", "secret")],
        );
        assert_eq!(format!("{outbox:?}"), "Outbox { events: 1, .. }");
        let rows = outbox.into_rows().unwrap();
        let id = rows[0].id;
        assert_eq!(
            format!("{rows:?}"),
            format!(r#"[Row {{ id: {id}, topic: "orders.placed", .. }}]"#)
        );
    }

    /// The derivation is published: a change gives a re-execution other IDs than the first run
    /// gave.
    #[test]
    fn derived_ids_have_not_changed() {
        let namespace = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        let mut ids = Ids::of(namespace, "orders::place", &StoredKey::of("cmd-1"));
        let first = ids.next("OrderPlaced");
        let second = ids.next("OrderPlaced");
        let other = ids.next("OrderPaid");
        assert_eq!(first.get_version_num(), 8);
        assert_eq!(
            [first, second, other].map(|id| id.to_string()),
            [
                "174bbfa9-a418-8167-9346-790321da23b1",
                "a7674bf2-c433-82f2-b32f-6acb63a8f632",
                "c3748dfb-9595-8498-9790-ed393c8649b2"
            ]
        );
    }
}
