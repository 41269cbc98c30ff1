//! What was taken and waits to be handed out.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use idem_runtime::Delivery as _;
use tokio::sync::Notify;

use super::delivery::NatsDelivery;
use super::limits::Limits;

/// Between the task that takes and `receive`.
#[derive(Default)]
pub(super) struct Buffer {
    waiting: Mutex<Waiting>,
    /// Something has arrived, or nothing more will.
    arrived: Notify,
    /// Something was handed out.
    pub(super) handed_out: Notify,
}

#[derive(Default)]
struct Waiting {
    deliveries: VecDeque<NatsDelivery>,
    bytes: usize,
    end: Option<End>,
}

/// Why nothing more arrives.
#[derive(Clone, Debug)]
pub(super) enum End {
    Stopped,
    Failed(String),
}

impl Buffer {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, delivery: NatsDelivery) {
        let mut waiting = self.waiting();
        waiting.bytes += delivery.incoming().size();
        waiting.deliveries.push_back(delivery);
        drop(waiting);
        self.arrived.notify_one();
    }

    /// The first reason counts.
    pub(super) fn end(&self, end: End) {
        self.waiting().end.get_or_insert(end);
        self.arrived.notify_one();
    }

    /// How much more may be taken: nothing before half of it was handed out.
    pub(super) fn room(&self, limits: Limits) -> Option<Limits> {
        let waiting = self.waiting();
        let messages = waiting.deliveries.len();
        let has_room = messages <= limits.messages / 2 && waiting.bytes <= limits.bytes / 2;
        has_room.then(|| Limits {
            messages: limits.messages.saturating_sub(messages).max(1),
            bytes: limits.bytes - waiting.bytes,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting().deliveries.is_empty()
    }

    /// Keeps what waits for longer, where that is due.
    pub(super) fn extend(&self) {
        for delivery in &self.waiting().deliveries {
            delivery.extend_if_due();
        }
    }

    /// Waits for what comes next. What was taken before the end comes before it, but for what could not
    /// be kept for so long: that comes again.
    pub(super) async fn next(&self) -> Result<NatsDelivery, End> {
        loop {
            {
                let mut waiting = self.waiting();
                while let Some(delivery) = waiting.deliveries.pop_front() {
                    let size = delivery.incoming().size();
                    waiting.bytes = waiting.bytes.saturating_sub(size);
                    self.handed_out.notify_one();
                    if delivery.is_own() {
                        return Ok(delivery);
                    }
                }
                if let Some(end) = &waiting.end {
                    return Err(end.clone());
                }
            }
            self.arrived.notified().await;
        }
    }
}
