//! Clean runs of the same deliveries in other batches: what one of them does must not depend on
//! those that are with it.

use super::baseline::Baseline;
use super::copy_pool::CopyPool;
use super::finding::differences;
use super::runner::Runner;
use super::target::{DeliveryOutcome, Target};
use crate::clone_database::DatabaseCopy;
use crate::setup_error::SetupError;
use crate::violation::{Violation, ViolationKind};

/// Delivers in other batches, on a copy of its own. `how` completes "delivered ..".
pub(crate) async fn check<T: Target>(
    runner: &Runner<'_, T>,
    how: &'static str,
    baseline: &Baseline,
    copies: &CopyPool<T::Database>,
) -> Result<Option<Violation>, SetupError> {
    let copy = copies.next().await?;
    let found = run(runner, baseline, &copy).await;
    copies.discard(copy);
    let found = found?;
    Ok((!found.is_empty()).then(|| Violation {
        kind: ViolationKind::DependsOnBatch,
        fault: None,
        timeline: vec![
            "delivered in one batch, without any fault".into(),
            format!("delivered to another copy of the database: {how}"),
        ],
        steps: Vec::new(),
        present: Vec::new(),
        found,
        command: None,
    }))
}

/// What differs from the one batch.
async fn run<T: Target>(
    runner: &Runner<'_, T>,
    baseline: &Baseline,
    copy: &DatabaseCopy,
) -> Result<Vec<String>, SetupError> {
    let process = runner.process(copy, true).await?;
    let (outcome, _) = runner.deliver_cleanly(&process).await;
    process.end().await;
    let end = runner.snapshot(copy).await?;
    let mut found = returned(baseline, &outcome);
    found.extend(differences(baseline, &end));
    Ok(found)
}

/// How what the deliveries got differs.
fn returned(baseline: &Baseline, outcome: &DeliveryOutcome) -> Vec<String> {
    match (&baseline.outcome, outcome) {
        (DeliveryOutcome::Ok(_), DeliveryOutcome::Ok(success)) => {
            match (&baseline.returned, &success.returned) {
                (Some(expected), Some(found)) => expected.differences(found),
                // Not the same in each clean run, or not stored for a duplicate.
                _ => Vec::new(),
            }
        }
        (_, DeliveryOutcome::Failed(error)) if *outcome != baseline.outcome => {
            vec![format!("it failed: {error}")]
        }
        (DeliveryOutcome::Failed(error), DeliveryOutcome::Ok(_)) => {
            vec![format!("the one batch failed, and this succeeded: {error}")]
        }
        _ => Vec::new(),
    }
}
