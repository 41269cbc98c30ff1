//! Why a message was not confirmed.

use std::fmt;
use std::time::Duration;

/// Why a message was not confirmed, and what the relay does about it.
///
/// The reason is logged, and stored in the database up to 1,000 characters. Put no secrets and no
/// payloads into it, and say what an operator can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishError {
    reason: String,
    remedy: Remedy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Try this message again, not before this has passed.
    Retry { after: Duration },
    /// Another attempt would end the same way.
    DeadLetter,
    /// Nothing can be published now, whatever the message. `None`: for how long is not known.
    Pause { after: Option<Duration> },
}

impl PublishError {
    /// Another attempt may succeed. Counts as an attempt of this message: after
    /// [`max_attempts`](crate::Relay::max_attempts) of them it becomes a dead letter. The later
    /// messages of its key wait.
    pub fn retryable(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            remedy: Remedy::Retry {
                after: Duration::ZERO,
            },
        }
    }

    /// Every attempt would end the same way: the message becomes a dead letter at once, and its key
    /// goes on.
    pub fn permanent(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            remedy: Remedy::DeadLetter,
        }
    }

    /// The receiver takes nothing now, whatever the message: it is down, or it limits the rate. The
    /// relay pauses for all messages, and counts no attempt of any. It pauses by itself: other
    /// relays of the target do so when they get the same error.
    ///
    /// Without [`after`](Self::after) the pause is random, and grows from one failure to the next
    /// as [`backoff`](crate::Relay::backoff) says.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            remedy: Remedy::Pause { after: None },
        }
    }

    /// The same error, with the shortest pause before the next attempt: of this message, or, after
    /// [`unavailable`](Self::unavailable), of any message. The relay's own backoff may be longer. A
    /// `delay` of more than an hour counts as an hour. No effect on a permanent error.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        match &mut self.remedy {
            Remedy::Retry { after } => *after = delay,
            Remedy::Pause { after } => *after = Some(delay),
            Remedy::DeadLetter => {}
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

    /// Whether the receiver takes no message at all now.
    pub fn is_unavailable(&self) -> bool {
        matches!(self.remedy, Remedy::Pause { .. })
    }

    /// The pause that [`after`](Self::after) asked for, if any.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.remedy {
            Remedy::Retry { after } => Some(after).filter(|after| !after.is_zero()),
            Remedy::Pause { after } => after,
            Remedy::DeadLetter => None,
        }
    }

    pub(crate) const fn remedy(&self) -> Remedy {
        self.remedy
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
        let [busy, never, down] = [
            PublishError::retryable("busy").after(after),
            PublishError::permanent("never").after(after),
            PublishError::unavailable("down").after(after),
        ];
        assert_eq!(busy.remedy(), Remedy::Retry { after });
        assert_eq!(never.remedy(), Remedy::DeadLetter);
        assert_eq!(down.remedy(), Remedy::Pause { after: Some(after) });
        assert_eq!((busy.reason(), never.to_string()), ("busy", "never".into()));
        let errors = [busy, never, down];
        assert_eq!(
            errors.each_ref().map(PublishError::is_permanent),
            [false, true, false]
        );
        assert_eq!(
            errors.each_ref().map(PublishError::is_unavailable),
            [false, false, true]
        );
        assert_eq!(
            errors.map(|error| error.retry_after()),
            [Some(after), None, Some(after)]
        );
    }
}
