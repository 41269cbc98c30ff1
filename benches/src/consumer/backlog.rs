//! What waits to be handled, and how far that has come.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::arm::Payment;

/// How many messages each arm handles in a slice.
pub(super) const MESSAGES: u64 = 6_000;

/// No slice takes that long.
const LIMIT: Duration = Duration::from_mins(2);

/// A message as it waits.
pub(super) struct Waiting {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) body: Vec<u8>,
}

/// That many new payments in JSON.
pub(super) fn messages(count: u64) -> Result<Vec<Waiting>> {
    let of = |payment: Payment| {
        Ok(Waiting {
            id: payment.id.to_string(),
            key: payment.account.to_string(),
            body: serde_json::to_vec(&payment)?,
        })
    };
    (0..count).map(|_| of(Payment::new())).collect()
}

/// A queue in memory.
pub(crate) struct Queue(Mutex<VecDeque<Waiting>>);

impl Queue {
    pub(crate) fn filled(count: u64) -> Result<Self> {
        Ok(Self(Mutex::new(messages(count)?.into())))
    }

    pub(super) fn take(&self) -> Option<Waiting> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.pop_front()
    }
}

/// How many messages of a slice are done, and how long that took.
pub(crate) struct Progress {
    messages: u64,
    start: OnceLock<Instant>,
    done: AtomicU64,
    end: OnceLock<Instant>,
    reached: Notify,
}

impl Progress {
    /// Of a slice of that many.
    pub(crate) fn of(messages: u64) -> Self {
        Self {
            messages,
            start: OnceLock::new(),
            done: AtomicU64::new(0),
            end: OnceLock::new(),
            reached: Notify::new(),
        }
    }

    /// The clock starts, if it has not.
    pub(super) fn begin(&self) {
        self.start.get_or_init(Instant::now);
    }

    /// One more message is done.
    pub(super) fn done(&self) {
        if self.done.fetch_add(1, Ordering::Relaxed) + 1 == self.messages {
            self.end();
        }
    }

    /// All are done.
    pub(super) fn end(&self) {
        self.end.get_or_init(Instant::now);
        self.reached.notify_one();
    }

    pub(crate) async fn all_done(&self) -> Result<()> {
        let reached = timeout(LIMIT, self.reached.notified()).await;
        reached.with_context(|| {
            let done = self.done.load(Ordering::Relaxed);
            format!(
                "{done} of {} messages were done after {LIMIT:?}",
                self.messages
            )
        })
    }

    /// Messages a second.
    pub(crate) fn rate(&self) -> Result<f64> {
        let (start, end) = (self.start.get(), self.end.get());
        let (start, end) = start.zip(end).context("nothing was done")?;
        Ok(self.messages as f64 / (*end - *start).as_secs_f64())
    }
}
