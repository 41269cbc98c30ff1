//! Duplicates in one process wait here, where waiting costs no connection.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::key::StoredKey;

/// A key of a scope of a pool: the same key in two databases is two keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyInFlight {
    pub(crate) pool: usize,
    pub(crate) scope: Cow<'static, str>,
    pub(crate) key: StoredKey,
}

static RUNNING: LazyLock<Mutex<HashMap<KeyInFlight, watch::Receiver<()>>>> =
    LazyLock::new(Mutex::default);

fn running() -> MutexGuard<'static, HashMap<KeyInFlight, watch::Receiver<()>>> {
    // The map is whole after every line that holds the lock, so a panic elsewhere spoils nothing.
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The one call in this process that may take the key to the database.
#[derive(Debug)]
pub(crate) struct KeyGuard {
    slot: KeyInFlight,
    /// Dropped with the turn, which wakes everyone who waits.
    _wake: watch::Sender<()>,
}

/// Another call has the turn.
#[derive(Debug)]
pub(crate) struct Waiter(watch::Receiver<()>);

impl Waiter {
    /// Waits until the holder's call has ended, however it did; `false` at the deadline.
    pub(crate) async fn ended(mut self, deadline: Instant) -> bool {
        // The sender sends nothing: the error says that it is gone, which is the event.
        timeout_at(deadline, self.0.changed()).await.is_ok()
    }
}

impl KeyGuard {
    /// Takes the turn if nobody has it.
    pub(crate) fn take(slot: &KeyInFlight) -> Result<Self, Waiter> {
        match running().entry(slot.clone()) {
            Entry::Vacant(vacant) => {
                let (wake, holder) = watch::channel(());
                vacant.insert(holder);
                Ok(Self {
                    slot: slot.clone(),
                    _wake: wake,
                })
            }
            Entry::Occupied(occupied) => Err(Waiter(occupied.get().clone())),
        }
    }
}

impl Drop for KeyGuard {
    fn drop(&mut self) {
        running().remove(&self.slot);
    }
}
