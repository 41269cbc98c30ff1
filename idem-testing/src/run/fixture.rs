//! A baseline to compare with, for tests.

use std::collections::BTreeSet;

use super::baseline::Baseline;
use super::target::DeliveryOutcome;
use crate::comparison::mask::Mask;
use crate::comparison::snapshot::Snapshot;

/// Runs that turn `base` into `end`, and nothing of it differs from run to run.
pub(crate) fn baseline(base: Snapshot, end: Snapshot) -> Baseline {
    Baseline {
        mask: Mask::calibrate(&[end.clone(), end.clone()], &base).unwrap(),
        base,
        end,
        outcome: DeliveryOutcome::Failed("recorded".into()),
        returned: None,
        writes: Vec::new(),
        infallible: BTreeSet::new(),
    }
}
