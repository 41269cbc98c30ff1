//! Whether the database answers.

use std::time::Duration;
use tokio::time::Instant;

/// How long a relay that can't reach its database waits at most before it tries again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// While the relay has its lease, a pause is at most this part of it: a tenth.
const LEASE_IN_PAUSES: u32 = 10;

/// The first of these pauses.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// How often a run that does not live through outages tries a statement again that met a lock.
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

    /// Notes a failure; how long statements wait after it. `lease` is that of the relay, if it has
    /// not ended: it must not end because of a pause, since the database may answer before that.
    pub(crate) fn failed(&mut self, now: Instant, lease: Option<Duration>) -> Duration {
        self.failures += 1;
        let longest = lease.map_or(LONGEST_PAUSE, |lease| {
            LONGEST_PAUSE.min(lease / LEASE_IN_PAUSES)
        });
        let pause = FIRST_PAUSE
            .saturating_mul(1 << self.failures.min(16))
            .min(longest);
        self.until = Some(now + pause);
        pause
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_a_small_part_of_a_lease_that_is_held() {
        let now = Instant::now();
        let lease = Duration::from_secs(2);
        let mut outage = Outage::default();
        let pauses = [
            None,
            None,
            Some(lease),
            Some(lease),
            None,
            None,
            None,
            None,
            None,
        ];
        let pauses = pauses.map(|lease| outage.failed(now, lease).as_millis());
        assert_eq!(
            pauses,
            [100, 200, 200, 200, 1_600, 3_200, 6_400, 10_000, 10_000]
        );
        assert!(outage.is_on(now) && !outage.is_on(now + LONGEST_PAUSE));
    }
}
