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
/// * Give every request a time limit, and all of a call less time than the relay's
///   [`publish_timeout`](crate::Relay::publish_timeout).
/// * Never block the thread. A relay gives up a call that takes longer than its `publish_timeout`,
///   but it can't take a thread back from a call that blocks it.
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
}

impl<P: Publisher + ?Sized> Publisher for std::sync::Arc<P> {
    fn publish(&self, batch: PublishBatch) -> impl Future<Output = ()> + Send {
        (**self).publish(batch)
    }
}
