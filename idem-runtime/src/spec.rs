//! The arguments of an attribute, as the runtime needs them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What `#[idempotent]` says of one handler. A `static` of each expansion.
#[derive(Debug)]
pub struct Spec {
    pub(crate) scope: &'static str,
    pub(crate) hash_key: bool,
    pub(crate) wait: Duration,
    pub(crate) retention: Option<Duration>,
    pub(crate) retry: u32,
    pub(crate) result_version: u32,
    pub(crate) recent: Recent,
}

impl Spec {
    /// The defaults of every argument.
    pub const fn new(scope: &'static str) -> Self {
        assert!(
            !scope.is_empty() && scope.len() <= 255,
            "a scope has 1 to 255 bytes; give this handler a shorter one with `scope = \"...\"`"
        );
        Self {
            scope,
            hash_key: false,
            wait: Duration::from_secs(30),
            retention: None,
            retry: 0,
            result_version: 1,
            recent: Recent::new(),
        }
    }

    /// `hash_key`.
    #[must_use]
    pub const fn hash_key(mut self) -> Self {
        self.hash_key = true;
        self
    }

    /// `in_flight = "wait 5s"`.
    #[must_use]
    pub const fn wait_ms(mut self, millis: u64) -> Self {
        self.wait = Duration::from_millis(millis);
        self
    }

    /// `in_flight = "fail"`.
    #[must_use]
    pub const fn fail_in_flight(self) -> Self {
        self.wait_ms(0)
    }

    /// `retention = "30d"`.
    #[must_use]
    pub const fn retention_ms(mut self, millis: u64) -> Self {
        self.retention = Some(Duration::from_millis(millis));
        self
    }

    /// `retry = 3`.
    #[must_use]
    pub const fn retry(mut self, times: u32) -> Self {
        self.retry = times;
        self
    }

    /// `result_version = 2`.
    #[must_use]
    pub const fn result_version(mut self, version: u32) -> Self {
        self.result_version = version;
        self
    }
}

/// Whether the last eight deliveries of a scope were duplicates, one bit each; above them, on which pool: the past of one database
/// says nothing of another.
///
/// A claim that is fused with BEGIN tells a duplicate by an error, which costs the server a line of
/// its log; asking first costs each new message a round trip. Duplicates come in storms, so the recent
/// past says which is cheaper.
#[derive(Debug)]
pub(crate) struct Recent(AtomicU64);

impl Recent {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn record(&self, pool: Option<usize>, duplicate: bool) {
        // A lost update under a race changes a guess, never an answer.
        let seen = (self.on(pool) << 1) | u8::from(duplicate);
        let seen = marked(pool) + u64::from(seen);
        self.0.store(seen, Ordering::Relaxed);
    }

    pub(crate) fn mostly_duplicates(&self, pool: Option<usize>) -> bool {
        self.on(pool).count_ones() >= 3
    }

    fn on(&self, pool: Option<usize>) -> u8 {
        let seen = self.0.load(Ordering::Relaxed);
        let bits = seen.checked_sub(marked(pool));
        bits.and_then(|bits| bits.try_into().ok()).unwrap_or(0)
    }
}

const fn marked(pool: Option<usize>) -> u64 {
    match pool {
        Some(pool) => (pool as u64) << u8::BITS,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_sees_mostly_duplicates_while_three_of_the_last_eight_are() {
        let recent = Recent::new();
        let seen = |deliveries: &[bool]| {
            for &duplicate in deliveries {
                recent.record(Some(7), duplicate);
            }
            recent.mostly_duplicates(Some(7))
        };
        assert!(!seen(&[]));
        assert!(!seen(&[true, true]));
        assert!(seen(&[true]));
        assert!(seen(&[false; 5]));
        assert!(!seen(&[false]));
        assert!(seen(&[true, false, true, true]));
        assert!(!seen(&[false; 8]));
        assert!(seen(&[true; 20]));
    }

    /// Cure: the pool beside the bits. The explorer's runs would each follow from the ones before.
    #[test]
    fn what_one_pool_saw_says_nothing_of_another() {
        let recent = Recent::new();
        for _ in 0..20 {
            recent.record(Some(usize::MAX), true);
        }
        assert!(recent.mostly_duplicates(Some(usize::MAX)));
        for other in [None, Some(0), Some(1), Some(usize::MAX - 1)] {
            assert!(!recent.mostly_duplicates(other), "{other:?}");
        }
        recent.record(None, true);
        assert!(!recent.mostly_duplicates(Some(usize::MAX)));
        recent.record(None, true);
        assert!(!recent.mostly_duplicates(None));
        recent.record(None, true);
        assert!(recent.mostly_duplicates(None));
    }

    #[test]
    fn a_setting_is_what_the_attribute_says_and_otherwise_the_default() {
        let set = Spec::new("a")
            .hash_key()
            .wait_ms(5)
            .retention_ms(7)
            .retry(3)
            .result_version(2);
        assert!(set.hash_key);
        assert_eq!(set.wait, Duration::from_millis(5));
        assert_eq!(set.retention, Some(Duration::from_millis(7)));
        assert_eq!((set.retry, set.result_version), (3, 2));
        let plain = Spec::new("a");
        assert!(!plain.hash_key);
        assert_eq!(plain.wait, Duration::from_secs(30));
        assert_eq!(plain.retention, None);
        assert_eq!((plain.retry, plain.result_version), (0, 1));
        assert!(plain.fail_in_flight().wait.is_zero());
    }
}
