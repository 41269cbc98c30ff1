//! How long to wait before another attempt, and how many there are.

use std::time::Duration;

use rand::Rng;

use crate::jitter::full_jitter;

/// How often a delivery is tried, and how long it waits in between.
///
/// ```
/// use std::time::Duration;
///
/// use idem_runtime::Backoff;
///
/// let backoff = Backoff::exponential(Duration::from_millis(200), Duration::from_mins(5)).attempts(8);
/// # let _ = backoff;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    attempts: u32,
}

impl Backoff {
    /// The longest wait after a first failure, which doubles with each other one up to `cap`. Each
    /// wait is a random part of that (full jitter). 8 attempts.
    pub const fn exponential(first: Duration, cap: Duration) -> Self {
        Self {
            first,
            cap,
            attempts: 8,
        }
    }

    /// After how many failed attempts a delivery becomes a dead letter; at least 1.
    #[must_use]
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = if attempts == 0 { 1 } else { attempts };
        self
    }

    pub(super) const fn limit(&self) -> u32 {
        self.attempts
    }

    /// The wait after that many failures.
    pub(super) fn delay(&self, failures: u32, rng: &mut impl Rng) -> Duration {
        full_jitter(self.first, self.cap, failures, rng)
    }
}

/// 200 ms, doubling up to 5 minutes; 8 attempts.
impl Default for Backoff {
    fn default() -> Self {
        Self::exponential(Duration::from_millis(200), Duration::from_mins(5))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_wait_doubles_up_to_its_cap_and_is_spread_over_all_of_it() {
        let backoff = Backoff::exponential(Duration::from_secs(1), Duration::from_mins(1));
        let mut rng = StdRng::seed_from_u64(7);
        for (failures, longest) in [(0, 1), (1, 1), (2, 2), (6, 32), (7, 60), (99, 60)] {
            let longest = Duration::from_secs(longest);
            let delays: Vec<_> = (0..200)
                .map(|_| backoff.delay(failures, &mut rng))
                .collect();
            assert!(delays.iter().all(|delay| *delay < longest));
            assert!(delays.iter().any(|delay| *delay < longest / 10));
            assert!(delays.iter().any(|delay| *delay > longest * 9 / 10));
        }
    }

    #[test]
    fn there_is_at_least_one_attempt() {
        let attempts = [0, 1, 20].map(|attempts| Backoff::default().attempts(attempts).limit());
        assert_eq!(attempts, [1, 1, 20]);
    }
}
