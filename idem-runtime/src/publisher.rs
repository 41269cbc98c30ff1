//! The seam between the outbox and a broker.

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
///   them fails and may be tried again, let no later one of its key reach the broker: end without a
///   verdict for it. [`in_order`] does all of that, one message of a key at a time.
/// * Never block the thread. A relay gives up a call that takes longer than its `publish_timeout`,
///   but nobody can take a thread back from a call that blocks it.
///
/// The relay makes several calls at once. One key is in one of them at a time.
///
/// A panic fails the messages that have no verdict yet, and nothing else. So do a call that is given
/// up and one that returns early.
pub trait Publisher: Send + Sync + 'static {
    /// Publishes these messages, and gives a verdict on each of them: see [`PublishBatch`].
    ///
    /// May be dropped at any await, when it takes too long or when the relay is dropped.
    fn publish(&self, batch: PublishBatch) -> impl Future<Output = ()> + Send;
}

impl<P: Publisher + ?Sized> Publisher for std::sync::Arc<P> {
    fn publish(&self, batch: PublishBatch) -> impl Future<Output = ()> + Send {
        (**self).publish(batch)
    }
}
