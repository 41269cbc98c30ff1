//! The messages of one call, those of one key one after the other.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use idem_runtime::{Message, PublishBatch, PublishError};
use tokio::sync::Notify;

/// One call of the publisher.
pub(super) struct Call {
    batch: PublishBatch,
    /// Nothing more of it is sent.
    stopped: AtomicBool,
    /// How many lanes are not at their end.
    lanes: AtomicUsize,
    /// Lanes whose message was refused together with others, and is to be sent alone.
    refused: Mutex<Vec<Lane>>,
    /// A lane has ended, or was refused.
    changed: Notify,
}

/// The messages of one key, of which one is with the client at a time.
pub(super) struct Lane {
    call: Arc<Call>,
    current: usize,
    later: std::vec::IntoIter<usize>,
}

/// A message of a call.
pub(super) struct Current {
    call: Arc<Call>,
    place: usize,
}

impl Deref for Current {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.call.batch.messages()[self.place]
    }
}

impl Call {
    /// The call, and its lanes in the order in which they begin.
    pub(super) fn new(batch: PublishBatch) -> (Arc<Self>, Vec<Lane>) {
        let places = lanes(batch.messages());
        let call = Arc::new(Self {
            batch,
            stopped: AtomicBool::new(false),
            lanes: AtomicUsize::new(places.len()),
            refused: Mutex::default(),
            changed: Notify::new(),
        });
        let lane = |(first, later): (usize, Vec<usize>)| Lane {
            call: Arc::clone(&call),
            current: first,
            later: later.into_iter(),
        };
        let lanes = places.into_iter().map(lane).collect();
        (call, lanes)
    }

    fn refused(&self) -> MutexGuard<'_, Vec<Lane>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing more of it is sent.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        // A lane tells the call of its end, so it is not dropped under the lock.
        let refused = std::mem::take(&mut *self.refused());
        drop(refused);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Waits until lanes are to be sent alone. `None`: all are at their end.
    pub(super) async fn next_refused(&self) -> Option<Vec<Lane>> {
        loop {
            let refused = std::mem::take(&mut *self.refused());
            if !refused.is_empty() {
                return Some(refused);
            }
            if self.lanes.load(Ordering::SeqCst) == 0 {
                return None;
            }
            self.changed.notified().await;
        }
    }
}

impl Lane {
    /// The present message, without the lane.
    pub(super) fn current(&self) -> Current {
        Current {
            call: Arc::clone(&self.call),
            place: self.current,
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.call.is_stopped()
    }

    /// The present message has ended so. What comes after it, if that may be sent.
    pub(super) fn ended(mut self, verdict: Result<(), PublishError>) -> Option<Self> {
        let goes_on = verdict
            .as_ref()
            .map_or_else(PublishError::is_permanent, |()| true);
        if verdict.as_ref().is_err_and(PublishError::is_unavailable) {
            self.call.stop();
        }
        self.call.batch.verdict(self.current, verdict);
        if !goes_on || self.call.is_stopped() {
            return None;
        }
        self.current = self.later.next()?;
        Some(self)
    }

    /// The present message was refused together with others, and is to be sent alone.
    pub(super) fn send_alone(self) {
        let call = Arc::clone(&self.call);
        let mut refused = call.refused();
        if !call.is_stopped() {
            refused.push(self);
        }
        drop(refused);
        call.changed.notify_one();
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if self.call.lanes.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.call.changed.notify_one();
        }
    }
}

/// The place of the first message of each key, and those of the later ones.
fn lanes(messages: &[Message]) -> Vec<(usize, Vec<usize>)> {
    let mut lanes: Vec<(usize, Vec<usize>)> = Vec::with_capacity(messages.len());
    let mut lane_of: HashMap<&str, usize> = HashMap::new();
    for (place, message) in messages.iter().enumerate() {
        let known = message
            .key
            .as_deref()
            .map(|key| *lane_of.entry(key).or_insert(lanes.len()));
        match known {
            Some(lane) if lane < lanes.len() => lanes[lane].1.push(place),
            _ => lanes.push((place, Vec::new())),
        }
    }
    lanes
}

#[cfg(test)]
mod tests {
    use idem_runtime::EventId;

    use super::*;

    fn call(keys: &[Option<&str>]) -> (Arc<Call>, Vec<Lane>) {
        let message = |key: Option<&str>| {
            let mut message = Message::new(EventId::new(uuid::Uuid::nil()), "t", "T", "");
            message.key = key.map(str::to_owned);
            message
        };
        Call::new(PublishBatch::new(keys.iter().copied().map(message).collect()).0)
    }

    #[test]
    fn messages_of_one_key_are_one_lane_and_others_have_their_own() {
        let (_call, lanes) = call(&[Some("a"), None, Some("b"), Some("a"), None, Some("a")]);
        let places = lanes.into_iter().map(|lane| {
            let mut places = vec![lane.current];
            places.extend(lane.later.as_slice());
            places
        });
        let places: Vec<_> = places.collect();
        assert_eq!(places, [vec![0, 3, 5], vec![1], vec![2], vec![4]]);
    }

    #[test]
    fn after_a_failure_that_may_pass_a_lane_goes_no_further() {
        let lane = || call(&[Some("a"), Some("a")]).1.remove(0);
        assert!(lane().ended(Ok(())).is_some());
        assert!(lane().ended(Err(PublishError::permanent("no"))).is_some());
        assert!(lane().ended(Err(PublishError::retryable("no"))).is_none());
        let (call, mut lanes) = call(&[Some("a"), Some("b"), Some("b")]);
        let b = lanes.remove(1);
        assert!(
            lanes
                .remove(0)
                .ended(Err(PublishError::unavailable("no")))
                .is_none()
        );
        assert!(call.is_stopped() && b.ended(Ok(())).is_none());
    }

    #[tokio::test]
    async fn a_call_ends_with_its_last_lane_and_keeps_none_once_it_is_stopped() {
        let (call, mut lanes) = call(&[Some("a"), Some("b")]);
        lanes.remove(0).send_alone();
        assert_eq!(call.next_refused().await.map(|lanes| lanes.len()), Some(1));
        call.stop();
        lanes.remove(0).send_alone();
        assert!(call.next_refused().await.is_none());
        assert_eq!(Arc::strong_count(&call), 1);
    }
}
