//! One key in order, different keys side by side.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::stream::{self, StreamExt as _};

use super::batch::{BatchMessage, PublishBatch};
use super::error::PublishError;
use crate::message::Message;

/// Sends the messages of a batch: those of one key one after the other, different keys and messages
/// without a key concurrently, at most `concurrency` at once. Gives each verdict as soon as it is
/// known.
///
/// After a message that failed and may be tried again, the later ones of its key are not sent. Once
/// a receiver is [unavailable](PublishError::unavailable), nothing more is sent at all; requests
/// that were begun go on to their end.
///
/// `concurrency` holds for this call. A relay makes several calls at once: to bound them together,
/// share a semaphore, and set [`Relay::in_hand`](crate::Relay::in_hand) to what can be sent within
/// [`publish_timeout`](crate::Relay::publish_timeout).
///
/// ```
/// use idem_runtime::{Message, PublishBatch, PublishError, Publisher, in_order};
///
/// struct Endpoint;
///
/// impl Endpoint {
///     async fn post(&self, message: &Message) -> Result<(), PublishError> {
///         // ... one request, with a timeout
/// #       let _ = message;
///         Ok(())
///     }
/// }
///
/// impl Publisher for Endpoint {
///     async fn publish(&self, batch: PublishBatch) {
///         in_order(batch, 16, |message| async move { self.post(&message).await }).await;
///     }
/// }
/// ```
pub async fn in_order<F, S>(batch: PublishBatch, concurrency: usize, send: F)
where
    F: Fn(BatchMessage) -> S,
    S: Future<Output = Result<(), PublishError>>,
{
    let (batch, send) = (&batch, &send);
    let down = &AtomicBool::new(false);
    let Lanes { first, next } = Lanes::of(batch.messages());
    let next = &next;
    stream::iter(first)
        .map(|first| async move {
            let mut left = Some(first);
            while let Some(index) = left {
                if down.load(Ordering::Relaxed) {
                    return;
                }
                let verdict = send(batch.message(index)).await;
                let stop = verdict.as_ref().is_err_and(|error| !error.is_permanent());
                if verdict.as_ref().is_err_and(PublishError::is_unavailable) {
                    down.store(true, Ordering::Relaxed);
                }
                batch.verdict(index, verdict);
                if stop {
                    return;
                }
                left = next[index];
            }
        })
        .buffer_unordered(concurrency.max(1))
        .for_each(|()| std::future::ready(()))
        .await;
}

/// The places of the messages, those of one key after one another.
struct Lanes {
    /// The first message of each key, and each message without one.
    first: Vec<usize>,
    /// After each message, the next one of its key.
    next: Vec<Option<usize>>,
}

impl Lanes {
    fn of(messages: &[Message]) -> Self {
        let mut first = Vec::with_capacity(messages.len());
        let mut next = vec![None; messages.len()];
        let mut last_of = HashMap::with_capacity(messages.len());
        for (place, message) in messages.iter().enumerate() {
            let key = message.key.as_deref();
            match key.and_then(|key| last_of.insert(key, place)) {
                Some(before) => next[before] = Some(place),
                None => first.push(place),
            }
        }
        Self { first, next }
    }
}

#[cfg(test)]
mod tests;
