//! What every run is compared with.

use std::collections::BTreeSet;

use super::returned::Returned;
use super::target::DeliveryOutcome;
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
    /// What it returned, if that is the same in each clean run.
    pub(crate) returned: Option<Returned>,
    /// The rows that a delivery writes, where they are seen.
    pub(crate) writes: Vec<String>,
    /// Steps that can't fail.
    pub(crate) infallible: BTreeSet<u64>,
}
