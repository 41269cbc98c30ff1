//! What a handler may publish.

use std::fmt;

use serde::Serialize;
use uuid::Uuid;

use crate::key::{Key, StoredKey};

/// A type of event: its topic and its ordering key are declared with it, where a reviewer sees
/// them.
///
/// Derive it:
///
/// ```
/// use idem_runtime::Event;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(topic = "orders.placed", key = "order_id")]
/// struct OrderPlaced {
///     order_id: uuid::Uuid,
///     total_cents: i64,
/// }
///
/// assert_eq!(OrderPlaced::TOPIC, "orders.placed");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "not an `Event`",
    note = "add `#[derive(Serialize, Event)]` and `#[event(topic = \"...\")]` to `{Self}`"
)]
pub trait Event: Serialize {
    /// Where it is published.
    const TOPIC: &'static str;

    /// Its `type` attribute in CloudEvents, by which consumers choose what to do with it. Event IDs
    /// derive from it, too.
    const TYPE: &'static str;

    /// The expression of its ordering key, as `idem.lock` shows it. The derive sets it.
    #[doc(hidden)]
    const ORDERING_KEY: &'static str = "_";

    /// Events with the same ordering key are published in the order of their commits.
    fn ordering_key(&self) -> Option<OrderingKey>;
}

/// The types that an [`Outbox`](crate::Outbox) takes: one [`Event`], or a tuple of up to six.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event, nor a tuple of events",
    label = "not declared as an event",
    note = "derive `Event` for each type that stands in `Outbox<...>`"
)]
pub trait EventSet {
    /// Its events, as `idem.lock` shows them.
    #[doc(hidden)]
    fn contracts() -> Vec<EventContract>;
}

/// What consumers rely on in one type of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[doc(hidden)]
pub struct EventContract {
    pub(crate) topic: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) ordering_key: &'static str,
}

impl EventContract {
    /// Of events whose type an expansion can't name.
    pub const UNKNOWN: Self = Self::new("_", "_", "_");

    /// The topic, the wire type, and the expression of the ordering key.
    pub const fn new(topic: &'static str, kind: &'static str, ordering_key: &'static str) -> Self {
        Self {
            topic,
            kind,
            ordering_key,
        }
    }

    fn of<E: Event>() -> Self {
        Self::new(E::TOPIC, E::TYPE, E::ORDERING_KEY)
    }
}

/// Says that `E` is one of an [`EventSet`].
#[diagnostic::on_unimplemented(
    message = "this handler does not declare that it emits `{E}`",
    label = "`{E}` is not one of the outbox's events",
    note = "name it in the handler's signature: `outbox: &mut Outbox<(..., {E})>`"
)]
pub trait Emits<E, Place> {}

impl<E: Event> EventSet for E {
    fn contracts() -> Vec<EventContract> {
        vec![EventContract::of::<E>()]
    }
}

impl<E> Emits<E, ()> for E {}

/// With one implementation alone, the compiler takes what is emitted for `E` itself, and reports
/// another event as a mismatched type instead of as undeclared.
#[derive(Debug)]
pub enum NoEvent {}

#[diagnostic::do_not_recommend]
impl<E> Emits<NoEvent, NoEvent> for E {}

macro_rules! event_sets {
    ($(($($name:ident $place:literal)+))*) => {$(
        impl<$($name: Event),+> EventSet for ($($name,)+) {
            fn contracts() -> Vec<EventContract> {
                vec![$(EventContract::of::<$name>()),+]
            }
        }

        event_sets!(@each ($($name)+) $($name $place)+);
    )*};
    (@each $all:tt $($name:ident $place:literal)+) => {
        $(event_sets!(@one $all $name $place);)+
    };
    (@one ($($all:ident)+) $name:ident $place:literal) => {
        #[diagnostic::do_not_recommend]
        impl<$($all),+> Emits<$name, Place<$place>> for ($($all,)+) {}
    };
}

/// A place in a tuple; found by inference.
#[derive(Debug)]
pub enum Place<const N: usize> {}

event_sets! {
    (A 0)
    (A 0 B 1)
    (A 0 B 1 C 2)
    (A 0 B 1 C 2 D 3)
    (A 0 B 1 C 2 D 3 E 4)
    (A 0 B 1 C 2 D 3 E 4 F 5)
}

/// The ID of an event: the same on every publication of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Uuid);

impl EventId {
    /// The ID that a broker's client, or a program that forwards events, read from a message.
    pub const fn new(id: Uuid) -> Self {
        Self(id)
    }

    /// The ID as a UUID.
    pub const fn as_uuid(&self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for EventId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Key for EventId {
    fn name() -> String {
        "Uuid".into()
    }

    fn write(&self, out: &mut crate::KeyWriter) {
        out.uuid(self.0);
    }
}

/// What orders events: those with the same ordering key are published in order. It is a text, made
/// of any [`Key`].
///
/// ```
/// use idem_runtime::OrderingKey;
///
/// // as with keys, an ID is the same whether it is text or a UUID
/// let id = uuid::Uuid::nil();
/// assert_eq!(OrderingKey::of(&id), OrderingKey::of("00000000-0000-0000-0000-000000000000"));
/// assert_ne!(OrderingKey::of(&("a", 1)), OrderingKey::of(&("a", 2)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrderingKey(String);

impl OrderingKey {
    /// Text without NUL, integers and UUIDs as their canonical text, everything else in
    /// hexadecimal; what is longer than 63 bytes as its SHA-256, so that no key is truncated.
    pub fn of<K: Key + ?Sized>(key: &K) -> Self {
        Self(StoredKey::of(key).to_text())
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Placed;

    #[derive(Serialize)]
    struct Paid;

    impl Event for Placed {
        const TOPIC: &'static str = "orders.placed";
        const TYPE: &'static str = "Placed";

        fn ordering_key(&self) -> Option<OrderingKey> {
            None
        }
    }

    impl Event for Paid {
        const TOPIC: &'static str = "orders.paid";
        const TYPE: &'static str = "Paid";
        const ORDERING_KEY: &'static str = "order";

        fn ordering_key(&self) -> Option<OrderingKey> {
            None
        }
    }

    #[test]
    fn a_set_of_events_says_what_consumers_rely_on_in_each() {
        let placed = EventContract::new("orders.placed", "Placed", "_");
        let paid = EventContract::new("orders.paid", "Paid", "order");
        assert_eq!(<Placed as EventSet>::contracts(), [placed]);
        assert_eq!(<(Placed, Paid) as EventSet>::contracts(), [placed, paid]);
    }
}
