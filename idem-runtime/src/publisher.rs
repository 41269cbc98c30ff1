//! Where the relay sends events.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::message::Message;

/// Sends messages to a broker, an endpoint, a file.
///
/// ```
/// use idem_runtime::{Message, PublishError, Publisher};
///
/// /// Hands each event to a channel, in order.
/// struct Channel(tokio::sync::mpsc::Sender<Message>);
///
/// impl Publisher for Channel {
///     async fn publish(&self, messages: &[Message]) -> Vec<Result<(), PublishError>> {
///         let mut verdicts = Vec::with_capacity(messages.len());
///         for message in messages {
///             let sent = self.0.send(message.clone()).await;
///             verdicts.push(sent.map_err(|_| PublishError::retryable("the channel is closed")));
///         }
///         verdicts
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a publisher",
    label = "does not implement `Publisher`",
    note = "use one of `idem_runtime::broker`, or implement `idem_runtime::Publisher` for `{Self}`"
)]
pub trait Publisher: Send + Sync {
    /// Sends the messages and gives one verdict for each, in their order.
    ///
    /// `Ok` says that the receiver has taken the message over for good: the relay never sends it
    /// again. What is not confirmed comes again, under the same ID.
    ///
    /// Messages with the same [`key`](Message::key) must be sent in the order of the slice. Once
    /// one of them has failed and may be tried again, the later ones of its key must not be sent in
    /// this call: answer [`PublishError::held_back`] for them. The relay takes no other verdict for
    /// them into account, so one that was sent all the same is sent again.
    ///
    /// The call should end by timeouts of its own, since a relay that shuts down waits for it. It
    /// may be dropped at any await, when the relay loses its lease or is dropped itself.
    fn publish(
        &self,
        messages: &[Message],
    ) -> impl Future<Output = Vec<Result<(), PublishError>>> + Send;
}

impl<P: Publisher + ?Sized> Publisher for std::sync::Arc<P> {
    fn publish(
        &self,
        messages: &[Message],
    ) -> impl Future<Output = Vec<Result<(), PublishError>>> + Send {
        (**self).publish(messages)
    }
}

/// Why a message was not confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishError {
    reason: String,
    pub(crate) remedy: Remedy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Try again, not before this has passed.
    Retry { after: Duration },
    /// Another attempt would end the same way.
    DeadLetter,
    /// This was no attempt.
    HeldBack,
}

impl PublishError {
    /// Another attempt may succeed. The reason is stored and logged: no secrets, no payloads.
    pub fn retryable(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            remedy: Remedy::Retry {
                after: Duration::ZERO,
            },
        }
    }

    /// Every attempt would end the same way: the message becomes a dead letter at once.
    pub fn permanent(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            remedy: Remedy::DeadLetter,
        }
    }

    /// The message was not tried, because one before it with the same ordering key failed. Counts
    /// as no attempt.
    pub fn held_back() -> Self {
        Self {
            reason: "an earlier message with the same ordering key failed".into(),
            remedy: Remedy::HeldBack,
        }
    }

    /// The same, but with no other attempt before `delay` has passed, if that is longer than the
    /// relay's own backoff. At most an hour. No effect on an error that is not retryable.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        if let Remedy::Retry { after } = &mut self.remedy {
            *after = delay;
        }
        self
    }

    /// The reason.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Whether the message becomes a dead letter at once.
    pub fn is_permanent(&self) -> bool {
        self.remedy == Remedy::DeadLetter
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for PublishError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_reason_and_its_remedy() {
        let after = Duration::from_secs(7);
        let [busy, never, held_back] = [
            PublishError::retryable("busy").after(after),
            PublishError::permanent("never").after(after),
            PublishError::held_back().after(after),
        ];
        assert_eq!(busy.remedy, Remedy::Retry { after });
        assert_eq!(never.remedy, Remedy::DeadLetter);
        assert_eq!(held_back.remedy, Remedy::HeldBack);
        assert_eq!((busy.reason(), never.to_string()), ("busy", "never".into()));
        assert_eq!(
            [busy, never, held_back].map(|error| error.is_permanent()),
            [false, true, false]
        );
    }
}
