//! The arguments of an attribute, as the runtime needs them.

use std::time::Duration;

use super::key::Encoded;
use crate::execution::{Policy, Recent};
use crate::identity::Identity;
use crate::key::StoredKey;
use crate::store::Isolation;

/// What `#[idempotent]` says of one handler. A `static` of each expansion.
#[derive(Debug)]
pub struct Spec {
    pub(super) policy: Policy,
    pub(super) recent: Recent,
    hash_key: bool,
}

impl Spec {
    /// The defaults of every argument.
    pub const fn new(scope: &'static str) -> Self {
        assert!(
            !scope.is_empty() && scope.len() <= 255,
            "a scope has 1 to 255 bytes; give this handler a shorter one with `scope = \"...\"`"
        );
        Self {
            policy: Policy::new(scope),
            recent: Recent::new(),
            hash_key: false,
        }
    }

    /// The key and the fingerprint as they are stored.
    pub(super) fn identity<K: ?Sized>(
        &self,
        key: Encoded<K>,
        fingerprint: Option<StoredKey>,
    ) -> Identity {
        key.identity(fingerprint, self.hash_key)
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
        self.policy.wait = Duration::from_millis(millis);
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
        self.policy.retention = Some(Duration::from_millis(millis));
        self
    }

    /// `retry = 3`.
    #[must_use]
    pub const fn retry(mut self, times: u32) -> Self {
        self.policy.retry = times;
        self
    }

    /// `isolation = "serializable"`.
    #[must_use]
    pub const fn isolation(mut self, isolation: Isolation) -> Self {
        self.policy.isolation = Some(isolation);
        self
    }

    /// `result_version = 2`.
    #[must_use]
    pub const fn result_version(mut self, version: u32) -> Self {
        self.policy.result_version = version;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_what_the_attribute_says_and_otherwise_the_default() {
        let set = Spec::new("a")
            .hash_key()
            .wait_ms(5)
            .retention_ms(7)
            .retry(3)
            .isolation(Isolation::Serializable)
            .result_version(2);
        assert!(set.hash_key);
        assert_eq!(set.policy.wait, Duration::from_millis(5));
        assert_eq!(set.policy.retention, Some(Duration::from_millis(7)));
        assert_eq!((set.policy.retry, set.policy.result_version), (3, 2));
        assert_eq!(set.policy.isolation, Some(Isolation::Serializable));
        let plain = Spec::new("a");
        assert_eq!(plain.policy.isolation, None);
        assert!(!plain.hash_key);
        assert_eq!(plain.policy.wait, Duration::from_secs(30));
        assert_eq!(plain.policy.retention, None);
        assert_eq!((plain.policy.retry, plain.policy.result_version), (0, 1));
        assert!(plain.fail_in_flight().policy.wait.is_zero());
    }
}
