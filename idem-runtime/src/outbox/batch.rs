//! The outbox of a batch handler.

use std::fmt;
use std::marker::PhantomData;

use super::{Emitted, Ids, Row};
use crate::event::{Emits, Event, EventId};

/// Collects the events that a batch handler emits. What is emitted belongs to one event of the
/// slice that the body sees, and [`of`](Self::of) says to which.
///
/// Everything else is as in an [`Outbox`](crate::Outbox). All rows of a batch are written in one
/// statement, in the order in which they were emitted.
///
/// ```
/// # #[cfg(all(feature = "macros", feature = "postgres"))]
/// # mod example {
/// use idem_runtime::{BatchOutbox, Event, idempotent, outbox};
/// use serde::Serialize;
/// use sqlx::PgConnection;
///
/// pub struct Payment {
///     id: String,
///     account: i64,
/// }
///
/// #[derive(Serialize, Event)]
/// #[event(topic = "payments.posted", key = "account")]
/// struct Posted {
///     account: i64,
/// }
///
/// #[idempotent(key = "payment.id", batch = "payment in payments", on_duplicate = "skip")]
/// #[outbox]
/// async fn post_all(
///     tx: &mut PgConnection,
///     outbox: &mut BatchOutbox<Posted>,
///     payments: &[&Payment],
/// ) -> Result<(), sqlx::Error> {
///     // ...
/// #   let _ = tx;
///     for (place, payment) in payments.iter().enumerate() {
///         outbox.of(place).emit(&Posted { account: payment.account });
///     }
///     Ok(())
/// }
/// # }
/// ```
pub struct BatchOutbox<E> {
    emitted: Emitted,
    /// Of each event of the slice.
    ids: Vec<Ids>,
    events: PhantomData<fn(E)>,
}

impl<E> BatchOutbox<E> {
    pub(crate) fn new(ids: Vec<Ids>) -> Self {
        Self {
            emitted: Emitted::default(),
            ids,
            events: PhantomData,
        }
    }

    /// The outbox of the event at this place of the slice. IDs and `causation` derive from the key
    /// of that event, so they are the same whether it comes alone or in any batch.
    ///
    /// # Panics
    /// If the slice has no such place. In a consumer that is a failed attempt.
    #[track_caller]
    pub fn of(&mut self, place: usize) -> OutboxOf<'_, E> {
        let events = self.ids.len();
        let Some(ids) = self.ids.get_mut(place) else {
            panic!(
                "`outbox.of({place})`, and the body got {events} events: pass the place of an event in the slice that the body \
                 got, which holds no duplicates"
            );
        };
        OutboxOf {
            emitted: &mut self.emitted,
            ids,
            events: PhantomData,
        }
    }

    pub(crate) fn into_rows(self) -> Result<Vec<Row>, sqlx::Error> {
        self.emitted.into_rows()
    }
}

impl<E> fmt::Debug for BatchOutbox<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchOutbox")
            .field("events", &self.emitted.rows.len())
            .finish_non_exhaustive()
    }
}

/// The outbox of one event of a batch; see [`BatchOutbox::of`].
#[must_use = "it emits nothing by itself: call `emit`"]
pub struct OutboxOf<'a, E> {
    emitted: &'a mut Emitted,
    ids: &'a mut Ids,
    events: PhantomData<fn(E)>,
}

impl<E> OutboxOf<'_, E> {
    /// Adds an event, as [`Outbox::emit`](crate::Outbox::emit) does.
    pub fn emit<Ev, Place>(&mut self, event: &Ev) -> EventId
    where
        Ev: Event,
        E: Emits<Ev, Place>,
    {
        self.emit_with(event, &[])
    }

    /// Adds an event with these headers, as [`Outbox::emit_with`](crate::Outbox::emit_with) does.
    pub fn emit_with<Ev, Place>(&mut self, event: &Ev, headers: &[(&str, &str)]) -> EventId
    where
        Ev: Event,
        E: Emits<Ev, Place>,
    {
        let key = event.ordering_key();
        self.emitted
            .add(self.ids, Ev::TOPIC, Ev::TYPE, key, event, headers)
    }
}

impl<E> fmt::Debug for OutboxOf<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboxOf").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::key::StoredKey;

    fn of(key: &str) -> Ids {
        Ids::of(Uuid::nil(), "scope", &StoredKey::of(key))
    }

    /// Guards: an event's ID depends on its own message alone, so that a batch that is split emits
    /// the same ones.
    #[test]
    fn an_id_does_not_depend_on_the_rest_of_the_batch() {
        let emitted = |keys: &[&str], place: usize| {
            let mut outbox = BatchOutbox::<()>::new(keys.iter().map(|key| of(key)).collect());
            let entry = outbox.of(place);
            entry.emitted.add(entry.ids, "topic", "Type", None, &1, &[])
        };
        assert_eq!(emitted(&["a", "b", "c"], 1), emitted(&["b"], 0));
        assert_ne!(emitted(&["a", "b", "c"], 1), emitted(&["a"], 0));
    }

    #[test]
    #[should_panic(expected = "the body got 1 events")]
    fn an_event_that_is_not_in_the_slice_emits_nothing() {
        let _ = BatchOutbox::<()>::new(vec![of("a")]).of(1);
    }
}
