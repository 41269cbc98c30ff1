//! What a consumer did.

/// What a consumer did in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerStats {
    /// Deliveries that were handled and acknowledged, duplicates among them.
    pub handled: u64,
    /// Attempts that failed and are made again.
    pub failed: u64,
    /// Deliveries that became dead letters.
    pub dead_lettered: u64,
    /// Deliveries of which the broker did not confirm that they are settled. They may come again.
    pub unsettled: u64,
}
