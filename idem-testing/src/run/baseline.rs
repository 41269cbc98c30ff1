//! What every run is compared with.

use std::collections::BTreeSet;

use super::target::DeliveryOutcome;
use crate::comparison::compare::compare;
use crate::comparison::mask::Mask;
use crate::comparison::snapshot::Snapshot;

/// What a delivery without any fault does.
pub(crate) struct Baseline {
    /// The database before the delivery.
    pub(crate) base: Snapshot,
    /// The database after it.
    pub(crate) end: Snapshot,
    pub(crate) mask: Mask,
    /// How it ended: with success, or with a permanent error that was stored.
    pub(crate) outcome: DeliveryOutcome,
    /// The rows that a delivery writes, where they are seen.
    pub(crate) writes: Vec<String>,
    /// Steps that can't fail.
    pub(crate) infallible: BTreeSet<u64>,
}

impl Baseline {
    /// Whether a database holds all of the effect, once.
    pub(crate) fn is_complete(&self, found: &Snapshot) -> bool {
        compare(&self.end, found, &self.mask).is_empty()
    }
}
