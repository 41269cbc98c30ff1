//! When to try again, and when to give up.

use std::time::Duration;

use rand::Rng;

use crate::jitter::full_jitter;

/// A receiver that asks for a longer pause gets this one: a `Retry-After` of a year must not stop
/// an outbox.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) max_attempts: u32,
    pub(super) backoff: Duration,
    pub(super) backoff_cap: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_attempts: 20,
            backoff: Duration::from_millis(500),
            backoff_cap: Duration::from_mins(5),
        }
    }
}

impl Policy {
    /// The pause after that many failures, `asked` at least.
    pub(super) fn delay(&self, failures: u32, asked: Duration, rng: &mut impl Rng) -> Duration {
        full_jitter(self.backoff, self.backoff_cap, failures, rng).max(asked.min(LONGEST_PAUSE))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    const POLICY: Policy = Policy {
        max_attempts: 3,
        backoff: Duration::from_secs(1),
        backoff_cap: Duration::from_mins(1),
    };

    #[test]
    fn the_backoff_doubles_up_to_its_cap_and_is_spread_over_all_of_it() {
        let mut rng = StdRng::seed_from_u64(7);
        for (failures, ceiling) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (60, 60)] {
            let ceiling = Duration::from_secs(ceiling);
            let delays: Vec<_> = (0..200)
                .map(|_| POLICY.delay(failures, Duration::ZERO, &mut rng))
                .collect();
            assert!(delays.iter().all(|delay| *delay < ceiling));
            assert!(delays.iter().any(|delay| *delay < ceiling / 10));
            assert!(delays.iter().any(|delay| *delay > ceiling * 9 / 10));
        }
    }

    /// What the documentation of `Relay::max_attempts` says. Half of each longest pause, on
    /// average.
    #[test]
    fn the_defaults_wait_for_27_minutes_on_average() {
        let policy = Policy::default();
        let longest: Duration = (1..policy.max_attempts)
            .map(|failures| {
                let doubled = policy.backoff.saturating_mul(1 << (failures - 1));
                doubled.min(policy.backoff_cap)
            })
            .sum();
        assert_eq!(((longest / 2).as_secs() + 30) / 60, 27);
    }

    #[test]
    fn a_receiver_can_ask_for_a_longer_pause_within_reason() {
        let mut rng = StdRng::seed_from_u64(1);
        for (asked, kept) in [(30, 30), (100_000_000, 3_600)] {
            let asked = Duration::from_secs(asked);
            let delay = POLICY.delay(1, asked, &mut rng);
            assert_eq!(delay, Duration::from_secs(kept));
        }
    }
}
