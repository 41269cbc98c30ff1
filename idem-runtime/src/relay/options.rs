//! A relay's settings and their defaults.

use std::time::Duration;

use super::verdict::Policy;
use crate::store::Limit;

#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) limit: Limit,
    pub(super) poll_interval: Duration,
    pub(super) lease: Duration,
    pub(super) policy: Policy,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limit: Limit {
                events: 100,
                bytes: 8 * 1024 * 1024,
            },
            poll_interval: Duration::from_millis(500),
            lease: Duration::from_secs(10),
            policy: Policy {
                max_attempts: 20,
                backoff: Duration::from_millis(500),
                backoff_cap: Duration::from_mins(5),
            },
        }
    }
}
