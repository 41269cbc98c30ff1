//! The arguments of an attribute, as the runtime needs them.

use std::sync::atomic::{AtomicU8, Ordering};
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
            recent: Recent(AtomicU8::new(0)),
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

/// Whether the last eight deliveries of a scope were duplicates, one bit each.
///
/// A claim that is fused with BEGIN tells a duplicate by an error, which costs the server a line of
/// its log; asking first costs each new message a round trip. Duplicates come in storms, so the recent
/// past says which is cheaper.
#[derive(Debug)]
pub(crate) struct Recent(AtomicU8);

impl Recent {
    pub(crate) fn record(&self, duplicate: bool) {
        // A lost update under a race changes a guess, never an answer.
        let seen = self.0.load(Ordering::Relaxed);
        self.0
            .store((seen << 1) + u8::from(duplicate), Ordering::Relaxed);
    }

    pub(crate) fn mostly_duplicates(&self) -> bool {
        self.0.load(Ordering::Relaxed).count_ones() >= 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_sees_mostly_duplicates_while_three_of_the_last_eight_are() {
        let recent = Recent(AtomicU8::new(0));
        let seen = |deliveries: &[bool]| {
            for &duplicate in deliveries {
                recent.record(duplicate);
            }
            recent.mostly_duplicates()
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
