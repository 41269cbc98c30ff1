//! What a relay did.

/// What one run of a relay did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayStats {
    /// Events that were published, confirmed and deleted from the outbox.
    pub published: u64,
    /// Failed attempts of events that are tried again. One event may have several. The attempt
    /// after which an event is given up is not counted here.
    pub failed: u64,
    /// Events that became dead letters: given up, see [`dead_letters`](crate::dead_letters).
    pub dead_lettered: u64,
}
