//! Messages that wait in the service's own database.

mod acks;
mod delivery;
mod hands;
pub(crate) mod kept;
mod looking;
mod mark_done;
pub(crate) mod message_id;
mod room;
mod shared;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::Pool;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use self::acks::Acks;
pub use self::delivery::InboxDelivery;
use self::hands::{Hands, Step};
use self::kept::kept;
use self::message_id::stored_message_id;
use self::shared::Shared;
use crate::error::Error;
use crate::event::Event;
use crate::schema::store_error;
use crate::source::{Arrival, Incoming, Source, SourceError};
use crate::store::{ErrorClass, INBOX, InboxStore, KeptMessage, PARKED};
use crate::telemetry::Redacted;

/// A source in the service's own database: a request stores a message and is answered, and a
/// [`Consumer`](crate::Consumer) handles it soon after. With it a service on SQLite needs no broker
/// at all, and a webhook is never answered before it is safe, nor handled twice.
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # mod example {
/// use idem_runtime::{Error, Inbox, Incoming};
/// use sqlx::Sqlite;
///
/// /// Answers a webhook: `true` for a message that was not there before.
/// async fn webhook(inbox: &Inbox<Sqlite>, id: &str, body: Vec<u8>) -> Result<bool, Error> {
///     let mut incoming = Incoming::new(body);
///     incoming.id = id.into(); // what the sender says
///     incoming.kind = "invoice.paid".into(); // by which a handler is found
///     inbox.store(incoming).await // then answer with 2xx
/// }
/// # }
/// ```
///
/// Give a clone of it to the consumer, `Consumer::new("billing", inbox.clone())`: what one clone
/// stores wakes the others at once. Other processes find it at their next
/// [poll](Self::poll_interval), within 1 s. Each consumer needs a clone of its own, also one that
/// is started again.
///
/// # What holds
/// * **Stored is safe**: once [`store`](Self::store) has returned `Ok`, the message is committed.
/// * **Stored once per source and ID**, while it waits and for at least 4 days after it was
///   handled: a message with the same source and ID is not stored again, even if its content
///   differs. A message without an ID is stored each time.
/// * **In order per key**, over all instances: a message is handed out only when those before it of
///   its key were acknowledged. So one key is as fast as one message after the other can be.
///   Messages of one key that are stored at the same time, by transactions that overlap, are in no
///   order.
/// * **At least once**: a message whose consumer died is handed out again when its
///   [`lease`](Self::lease) has ended.
///
/// What a consumer has taken and not handed out is in memory: at most 128 messages, and about 8 MiB
/// as far as the messages before them tell their size,
/// that are handed out next, and as much again that waits behind others of its key, up to 16 of
/// each. Other instances can have those when a message before them goes back, or takes longer than
/// a third of the lease.
///
/// [`purge`](crate::purge) deletes the rows of messages that were done more than 4 days ago.
pub struct Inbox<DB: InboxStore> {
    shared: Arc<Shared<DB>>,
    /// A clone's own: what one consumer takes is no other one's, and the end of one ends no other.
    hands: Arc<Hands>,
    stopped: watch::Sender<bool>,
}

impl<DB: InboxStore> Clone for Inbox<DB> {
    fn clone(&self) -> Self {
        Self::with(Arc::clone(&self.shared))
    }
}

impl<DB: InboxStore> Inbox<DB> {
    /// An inbox of this database. Inboxes of one name share their messages.
    pub fn new(pool: Pool<DB>, name: impl Into<String>) -> Self {
        Self::of(pool, INBOX, name.into())
    }

    /// What the consumer of that name has put aside.
    pub(crate) fn parked(pool: Pool<DB>, consumer: String) -> Self {
        Self::of(pool, PARKED, consumer)
    }

    fn of(pool: Pool<DB>, origin: &'static str, name: String) -> Self {
        Self::with(Arc::new(Shared {
            pool,
            origin,
            name,
            poll_interval: Duration::from_secs(1),
            lease: Duration::from_secs(30),
            stored: Notify::new(),
            statements: Semaphore::new(1),
            acks: Acks::default(),
            home: Mutex::default(),
        }))
    }

    fn with(shared: Arc<Shared<DB>>) -> Self {
        Self {
            hands: Arc::new(Hands::new(shared.poll_interval)),
            shared,
            stopped: watch::Sender::new(false),
        }
    }

    /// How often the table is read for messages that another process has stored, or that are due;
    /// 1 s unless said otherwise. Call it before the inbox is cloned.
    ///
    /// # Panics
    /// If there is a clone.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        let interval = interval.max(Duration::from_millis(1));
        self.unshared().poll_interval = interval;
        self.hands = Arc::new(Hands::new(interval));
        self
    }

    /// How soon another consumer can have the messages of one that died; 30 s unless said
    /// otherwise. A consumer that lives renews its leases each time a third of that has passed.
    /// Call it before the inbox is cloned.
    ///
    /// # Panics
    /// If there is a clone.
    #[must_use]
    pub fn lease(mut self, length: Duration) -> Self {
        self.unshared().lease = length.max(Duration::from_millis(100));
        self
    }

    fn unshared(&mut self) -> &mut Shared<DB> {
        Arc::get_mut(&mut self.shared).expect("set up an inbox before it is cloned")
    }

    /// Stores a message. `false`: it was stored before.
    ///
    /// Its [`kind`](Incoming::kind) decides which handler gets it.
    ///
    /// # Errors
    /// [`Error::NotMigrated`], [`Error::TooLarge`], or [`Error::Store`] if the database refuses.
    /// After `Store` the message may be stored or not: store it again under the same ID.
    pub async fn store(&self, incoming: Incoming) -> Result<bool, Error> {
        let kept = kept(stored_message_id(&incoming), &incoming);
        let added = self.add(vec![kept], Duration::ZERO).await;
        added.map(|added| added > 0).map_err(store_error::<DB>)
    }

    /// Stores an event in JSON, with this ID. `false`: it was stored before.
    ///
    /// # Errors
    /// As [`store`](Self::store); [`Error::Store`] also if the event does not serialize.
    pub async fn store_event<E: Event + Sync>(&self, id: &str, event: &E) -> Result<bool, Error> {
        let incoming = Incoming::of_event(id, event)
            .map_err(|error| Error::Store(sqlx::Error::Encode(error.into())))?;
        self.store(incoming).await
    }

    /// Adds messages in this order, to be handled after `due`.
    pub(crate) async fn add(
        &self,
        messages: Vec<KeptMessage>,
        due: Duration,
    ) -> Result<u64, sqlx::Error> {
        let messages: Arc<[KeptMessage]> = messages.into();
        let added = self.shared.run(|conn, home, inbox| {
            let messages = Arc::clone(&messages);
            Box::pin(async move { DB::add(conn, home, inbox, &messages, due).await })
        });
        let added = added.await?;
        self.wake();
        Ok(added)
    }

    /// Something is there to be taken.
    pub(crate) fn wake(&self) {
        self.shared.stored.notify_one();
    }
}

impl<DB: InboxStore> Source for Inbox<DB> {
    type Delivery = InboxDelivery<DB>;

    async fn receive(&self) -> Option<Result<Arrival<InboxDelivery<DB>>, SourceError>> {
        let mut stopped = self.stopped.subscribe();
        loop {
            let is_stopped = *stopped.borrow_and_update();
            let until = match self.hands.next(is_stopped, Instant::now()) {
                Step::HandOut(run) => {
                    match InboxDelivery::first_of(&self.shared, &self.hands, run) {
                        Some(delivery) => return Some(Ok(Arrival::Delivery(delivery))),
                        None => continue,
                    }
                }
                Step::Failed(error) => return Some(Err(unavailable::<DB>(&error))),
                Step::Look(look) => {
                    self.shared.start(&self.hands, look);
                    None
                }
                Step::Wait(until) => until,
                Step::End => return None,
            };
            tokio::select! {
                () = self.hands.changed.notified() => {}
                () = self.shared.stored.notified() => self.hands.look_for_all(),
                _ = stopped.changed() => {}
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {}
            }
        }
    }

    fn stop(&self) {
        self.stopped.send_replace(true);
    }

    fn system(&self) -> &'static str {
        "idem_inbox"
    }

    fn keeps_order(&self) -> bool {
        true
    }
}

fn unavailable<DB: InboxStore>(error: &sqlx::Error) -> SourceError {
    SourceError::unavailable(match DB::classify(error) {
        ErrorClass::NotMigrated => Error::<std::convert::Infallible>::NotMigrated.to_string(),
        _ => Redacted(error).to_string(),
    })
}

impl<DB: InboxStore> fmt::Debug for Inbox<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("name", &self.shared.name)
            .finish_non_exhaustive()
    }
}
