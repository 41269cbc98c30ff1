//! Deliveries of one key in one process take turns here, where waiting costs no connection.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::key::StoredKey;

/// The keys that calls on one pool are handling. The same key in two databases is two keys.
#[derive(Debug, Default)]
pub(super) struct KeysInFlight(Mutex<HashMap<KeyInFlight, Queue>>);

/// A key of a scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct KeyInFlight {
    pub(super) scope: Cow<'static, str>,
    pub(super) key: StoredKey,
}

/// The calls that want one key. They take turns in the order in which they came.
#[derive(Debug)]
struct Queue {
    turn: Arc<Semaphore>,
    places: usize,
}

impl KeysInFlight {
    fn lock(&self) -> MutexGuard<'_, HashMap<KeyInFlight, Queue>> {
        // The map is consistent after every line that holds the lock, so a panic elsewhere does no
        // harm.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How waiting for a key's turn ended.
#[derive(Debug)]
pub(super) enum WaitResult {
    /// This call may take the key to the database.
    Acquired(KeyGuard),
    /// The call that had the turn left a row: ask for it.
    Stored,
    /// The deadline has passed.
    TimedOut,
}

/// Takes the turn of a key, after those who asked before. If one of them stores an end, all who
/// wait are woken at once. If it fails, the next one has the turn, and nobody else is woken.
pub(super) async fn take(
    keys: &Arc<KeysInFlight>,
    key: KeyInFlight,
    deadline: Instant,
) -> WaitResult {
    let place = Place::new(keys, key);
    let acquired = match place.turn.clone().try_acquire_owned() {
        Ok(permit) => Ok(Ok(permit)),
        Err(_) => timeout_at(deadline, place.turn.clone().acquire_owned()).await,
    };
    match acquired {
        Ok(Ok(permit)) => WaitResult::Acquired(KeyGuard { permit, place }),
        Ok(Err(_closed)) => WaitResult::Stored,
        Err(_elapsed) => WaitResult::TimedOut,
    }
}

/// The one call on this pool that may take the key to the database. Dropped, it passes the turn on.
#[derive(Debug)]
pub(super) struct KeyGuard {
    #[expect(dead_code, reason = "held for its drop")]
    permit: OwnedSemaphorePermit,
    place: Place,
}

impl KeyGuard {
    /// Tells all who wait that the key has its row.
    pub(super) fn stored(self) {
        let mut keys = self.place.keys.lock();
        self.place.turn.close();
        // A delivery that comes from now on must not find a closed one.
        if self.place.queue(&mut keys).is_some() {
            keys.remove(&self.place.key);
        }
    }
}

/// A place in a queue. The last one to leave takes the key off the list.
#[derive(Debug)]
struct Place {
    keys: Arc<KeysInFlight>,
    key: KeyInFlight,
    turn: Arc<Semaphore>,
}

impl Place {
    fn new(keys: &Arc<KeysInFlight>, key: KeyInFlight) -> Self {
        let mut queues = keys.lock();
        let queue = queues.entry(key.clone()).or_insert_with(|| Queue {
            turn: Arc::new(Semaphore::new(1)),
            places: 0,
        });
        queue.places += 1;
        Self {
            turn: queue.turn.clone(),
            keys: keys.clone(),
            key,
        }
    }

    /// The queue, unless a later one has its place on the list.
    fn queue<'a>(&self, keys: &'a mut HashMap<KeyInFlight, Queue>) -> Option<&'a mut Queue> {
        let queue = keys.get_mut(&self.key)?;
        Arc::ptr_eq(&queue.turn, &self.turn).then_some(queue)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut keys = self.keys.lock();
        if let Some(queue) = self.queue(&mut keys) {
            queue.places -= 1;
            if queue.places == 0 {
                keys.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
