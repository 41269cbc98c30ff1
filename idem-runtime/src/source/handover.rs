//! Parts of a source, and how they are given up.

use std::fmt;

/// A part of a source whose deliveries are in order and move together from one consumer to another:
/// a partition of a topic, a FIFO group. The numbers are the source's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition(pub u64);

/// Dropped by the consumer once nothing of the revoked partitions runs any more, and what ran is
/// settled. Then the broker may go on.
///
/// ```
/// use idem_runtime::Handover;
///
/// // where the broker's client calls back and must not return before the handover
/// let (done, is_done) = std::sync::mpsc::channel::<()>();
/// let handover = Handover::new(move || drop(done));
/// drop(handover); // the consumer does that
/// assert!(is_done.recv().is_err());
/// ```
#[must_use = "dropping it lets the broker go on"]
pub struct Handover(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Handover {
    /// Calls `then` when it is dropped, wherever that happens. It must not block.
    pub fn new(then: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(then)))
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        if let Some(then) = self.0.take() {
            then();
        }
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover").finish_non_exhaustive()
    }
}
