//! What a broker must offer to be published to.

mod batch;
mod error;
mod in_order;

use std::future::Future;

pub use batch::{BatchMessage, PublishBatch, Verdicts};
pub(crate) use batch::{Report, channel};
pub use error::PublishError;
pub(crate) use error::Remedy;
pub use in_order::in_order;

/// Sends messages to a broker.
///
/// ```
/// use idem_runtime::{PublishBatch, Publisher};
///
/// /// Prints each message.
/// struct Print;
///
/// impl Publisher for Print {
///     async fn publish(&self, batch: PublishBatch) {
///         for (index, message) in batch.messages().iter().enumerate() {
///             println!("{} {}", message.topic, message.id);
///             batch.verdict(index, Ok(()));
///         }
///     }
/// }
/// ```
///
/// # What an implementation must do
/// * Give `Ok(())` only for a message that is safe with the broker: it will survive a crash of this
///   process and of one broker. A message without `Ok(())` is published again, under the same ID.
/// * Give each verdict as soon as it is known. The relay acts on it at once, so one slow message
///   does not hold up the others of its batch.
/// * Send the messages of one [`key`](crate::Message::key) in the order of the batch. When one of
///   them fails and may be tried again, send no later one of its key, and give no verdict on those.
///   [`in_order`] does all of that, one message of a key at a time.
/// * Give every request a time limit below the relay's
///   [`publish_timeout`](crate::Relay::publish_timeout). A call that gives no verdict for so long is
///   given up. If messages wait inside the publisher for their turn, say by
///   [`max_in_flight`](Self::max_in_flight) how many it works on at once.
/// * Never block the thread. The relay can't take it back from a call that it has given up.
///
/// The relay makes several calls at once. A key is in only one of them at a time.
///
/// A call can end without a verdict on some messages: it returns early, panics, or is given up.
/// Then the first of these messages of each key has failed, and counts an attempt; the later ones
/// wait for it. All other messages are unharmed.
pub trait Publisher: Send + Sync + 'static {
    /// Publishes these messages, and gives a verdict on each of them by [`PublishBatch::verdict`].
    ///
    /// The future may be dropped at any await: when it takes too long, or when the relay is
    /// dropped.
    fn publish(&self, batch: PublishBatch) -> impl Future<Output = ()> + Send;

    /// How many messages it works on at once; unlimited unless said otherwise. A relay hands over no
    /// more than that before it has verdicts on some of them, in all its calls together, and of each
    /// key one after the other.
    ///
    /// A publisher with a limit of its own, such as a number of requests, should say so, with a few
    /// more that are ready when a request ends. A message that waits in the relay can wait for ever.
    /// One that waits in the publisher is given up after the relay's
    /// [`publish_timeout`](crate::Relay::publish_timeout).
    fn max_in_flight(&self) -> usize {
        usize::MAX
    }
}

impl<P: Publisher + ?Sized> Publisher for std::sync::Arc<P> {
    fn publish(&self, batch: PublishBatch) -> impl Future<Output = ()> + Send {
        (**self).publish(batch)
    }

    fn max_in_flight(&self) -> usize {
        (**self).max_in_flight()
    }
}
