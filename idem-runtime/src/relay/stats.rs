//! What a relay did.

/// What one run of a relay did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayStats {
    /// Events that were published, confirmed and deleted from the outbox.
    pub published: u64,
    /// Attempts that failed and are made again. One event may have several.
    pub failed: u64,
    /// Events that became dead letters.
    pub dead_lettered: u64,
}
