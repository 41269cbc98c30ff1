//! What a user sets of a relay, and its defaults.

use std::time::Duration;

use super::lanes::Amount;
use super::policy::Policy;
use crate::store::Topics;

/// How many rows one look reads at most.
pub(super) const LOOK: usize = 5_000;

#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) target: String,
    pub(super) topics: Topics,
    /// The source of the messages, in place of the one that names the database.
    pub(super) source: Option<String>,
    /// What one call of the publisher gets at most.
    pub(super) batch: Amount,
    /// What is in memory at most.
    pub(super) in_hand: Amount,
    pub(super) poll_interval: Duration,
    pub(super) policy: Policy,
    pub(super) lease: Duration,
    pub(super) publish_timeout: Duration,
}

/// How long a statement may take, or as long as the lease if that is more.
const STATEMENT_LIMIT: Duration = Duration::from_secs(5);

impl Options {
    /// How long a statement may take, with the wait for a connection.
    pub(super) fn statement_limit(&self) -> Duration {
        self.lease.max(STATEMENT_LIMIT)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            target: "default".into(),
            topics: Topics::default(),
            source: None,
            batch: Amount {
                events: 1_000,
                bytes: 8 << 20,
            },
            in_hand: Amount {
                events: 10_000,
                bytes: 64 << 20,
            },
            poll_interval: Duration::from_millis(500),
            policy: Policy::default(),
            lease: Duration::from_secs(10),
            publish_timeout: Duration::from_secs(30),
        }
    }
}
