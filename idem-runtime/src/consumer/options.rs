//! How a consumer works.

use std::time::Duration;

use super::backoff::Backoff;

/// No answer of the database is waited for longer than this.
pub(super) const STATEMENT_LIMIT: Duration = Duration::from_secs(5);

/// Connections that no handler uses.
pub(super) const OWN_CONNECTIONS: u32 = 2;

#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) concurrency: usize,
    pub(super) batch: usize,
    pub(super) retry: Backoff,
    pub(super) hold: Duration,
    pub(super) in_hand: Amount,
    pub(super) parked: u32,
    pub(super) shutdown_timeout: Duration,
    pub(super) ignore_unknown: bool,
}

/// How much is in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            // What the connections of a pool of sqlx's default size leave.
            concurrency: 8,
            batch: 1,
            retry: Backoff::default(),
            hold: Duration::from_secs(30),
            in_hand: Amount {
                messages: 1_000,
                bytes: 64 << 20,
            },
            parked: 10_000,
            shutdown_timeout: Duration::from_secs(30),
            ignore_unknown: false,
        }
    }
}
