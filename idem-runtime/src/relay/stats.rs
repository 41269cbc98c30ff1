//! What a relay counts.

/// What a run of a relay did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayStats {
    /// Events that were confirmed and marked.
    pub published: u64,
    /// Attempts that failed and were followed by another one.
    pub failed: u64,
    /// Events that were given up.
    pub dead_lettered: u64,
}
