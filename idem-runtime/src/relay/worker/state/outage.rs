//! Whether the database answers.

use std::time::Duration;
use tokio::time::Instant;

/// How long a relay that can't reach its database waits at most before it tries again.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The first of these pauses.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// How often one statement is tried that other writers keep from running.
pub(crate) const ATTEMPTS: u32 = 5;

#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// Whether the database was reached once.
    pub(crate) was_reached: bool,
    pub(crate) failures: u32,
    pub(crate) until: Option<Instant>,
}

impl Outage {
    pub(crate) const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether statements wait.
    pub(crate) fn is_on(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until > now)
    }

    pub(crate) fn is_over(&mut self) {
        if self.failures > 0 {
            tracing::info!(failures = self.failures, "the database answers again");
        }
        *self = Self {
            was_reached: true,
            ..Self::default()
        };
    }
}
