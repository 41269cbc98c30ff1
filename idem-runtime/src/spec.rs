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
            .store(seen << 1 | u8::from(duplicate), Ordering::Relaxed);
    }

    pub(crate) fn mostly_duplicates(&self) -> bool {
        self.0.load(Ordering::Relaxed).count_ones() >= 3
    }
}
