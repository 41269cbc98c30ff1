//! How much a source takes.

/// Bounds of what is in memory, and of what one partition has open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Messages that wait to be handed out.
    pub(super) messages: usize,
    /// Their bytes.
    pub(super) bytes: usize,
    /// Messages of a partition from the oldest that is not committed on.
    pub(super) window: usize,
}
