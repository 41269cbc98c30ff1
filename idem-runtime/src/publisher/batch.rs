//! Messages that are handed to a publisher, and its verdicts on them.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::error::PublishError;
use crate::message::Message;

/// Messages to publish, and the place for the verdict on each.
///
/// Once it is dropped there is no other verdict: the messages without one are published again. Of
/// each key, the first of them counts a failed attempt, unless another verdict of this batch was
/// [unavailable](PublishError::unavailable).
///
/// A batch may be moved to another task. The call counts as running until the batch is dropped, but
/// at most for the relay's [`publish_timeout`](crate::Relay::publish_timeout).
pub struct PublishBatch {
    number: u64,
    messages: Arc<Vec<Message>>,
    /// Which messages have their verdict.
    given: Vec<AtomicBool>,
    reports: UnboundedSender<Report>,
}

/// What a relay hears of its batches.
#[derive(Debug)]
pub(crate) enum Report {
    /// The verdict on one message of a batch. The first one counts.
    Verdict {
        batch: u64,
        index: usize,
        verdict: Result<(), PublishError>,
    },
    /// There will be no other verdict.
    Dropped { batch: u64 },
}

pub(crate) fn channel() -> (UnboundedSender<Report>, UnboundedReceiver<Report>) {
    unbounded_channel()
}

impl PublishBatch {
    /// A batch to call a publisher with, and the receiving end of its verdicts: for tests of a
    /// publisher and for programs that publish without a relay.
    ///
    /// ```
    /// use idem_runtime::broker::JsonLines;
    /// use idem_runtime::{EventId, Message, PublishBatch, Publisher};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let id = EventId::new(uuid::Uuid::nil());
    /// let message = Message::new(id, "orders.placed", "OrderPlaced", "{}");
    /// let (batch, mut verdicts) = PublishBatch::new(vec![message]);
    /// JsonLines::stdout().publish(batch).await;
    /// assert_eq!(verdicts.next().await, Some((0, Ok(()))));
    /// assert_eq!(verdicts.next().await, None);
    /// # }
    /// ```
    pub fn new(messages: Vec<Message>) -> (Self, Verdicts) {
        let (sender, reports) = channel();
        (Self::numbered(0, messages, sender), Verdicts { reports })
    }

    pub(crate) fn numbered(
        number: u64,
        messages: Vec<Message>,
        reports: UnboundedSender<Report>,
    ) -> Self {
        Self {
            number,
            given: messages.iter().map(|_| AtomicBool::new(false)).collect(),
            messages: Arc::new(messages),
            reports,
        }
    }

    /// The messages. Those of one key are to be sent in this order.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    pub(crate) fn message(&self, index: usize) -> BatchMessage {
        BatchMessage {
            messages: Arc::clone(&self.messages),
            index,
        }
    }

    /// Says how the message at this index of [`messages`](Self::messages) ended. The first verdict
    /// on a message counts; others are ignored.
    ///
    /// # Panics
    /// If there is no message at this index.
    pub fn verdict(&self, index: usize, verdict: Result<(), PublishError>) {
        let count = self.messages.len();
        assert!(
            index < count,
            "a verdict on message {index}, counted from 0, of a batch of {count}"
        );
        if self.given[index].swap(true, Ordering::Relaxed) {
            return;
        }
        // A relay that ended hears nothing more.
        let _ = self.reports.send(Report::Verdict {
            batch: self.number,
            index,
            verdict,
        });
    }
}

impl Drop for PublishBatch {
    fn drop(&mut self) {
        let _ = self.reports.send(Report::Dropped { batch: self.number });
    }
}

impl fmt::Debug for PublishBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishBatch")
            .field("messages", &self.messages.len())
            .finish_non_exhaustive()
    }
}

/// One message of a batch, as [`in_order`](crate::in_order) hands it out. It borrows nothing.
#[derive(Clone)]
pub struct BatchMessage {
    messages: Arc<Vec<Message>>,
    index: usize,
}

impl Deref for BatchMessage {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.messages[self.index]
    }
}

impl fmt::Debug for BatchMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The verdicts on a batch that [`PublishBatch::new`] made.
#[derive(Debug)]
pub struct Verdicts {
    reports: UnboundedReceiver<Report>,
}

impl Verdicts {
    /// The next verdict, with the index of its message. `None` once the batch was dropped: messages
    /// without a verdict until then have failed.
    ///
    /// Dropping the future loses no verdict.
    pub async fn next(&mut self) -> Option<(usize, Result<(), PublishError>)> {
        match self.reports.recv().await {
            Some(Report::Verdict { index, verdict, .. }) => Some((index, verdict)),
            Some(Report::Dropped { .. }) | None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::event::EventId;

    fn batch(messages: usize) -> (PublishBatch, Verdicts) {
        let message = Message::new(EventId::new(Uuid::nil()), "t", "T", "");
        PublishBatch::new(vec![message; messages])
    }

    #[tokio::test]
    async fn the_first_verdict_on_a_message_counts_and_is_there_before_the_batch_ends() {
        let (batch, mut verdicts) = batch(2);
        batch.verdict(1, Ok(()));
        batch.verdict(1, Err(PublishError::permanent("no")));
        assert_eq!(verdicts.next().await, Some((1, Ok(()))));
        drop(batch);
        assert_eq!(verdicts.next().await, None);
    }

    #[test]
    #[should_panic(expected = "a verdict on message 2, counted from 0, of a batch of 2")]
    fn a_verdict_on_a_message_that_is_not_there_panics() {
        batch(2).0.verdict(2, Ok(()));
    }
}
