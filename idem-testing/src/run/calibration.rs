//! Clean runs: what the effect is, and what may differ from run to run.

use std::collections::BTreeSet;

use super::baseline::Baseline;
use super::copy_pool::CopyPool;
use super::returned::Returned;
use super::runner::{Runner, Steps};
use super::target::{DeliveryOutcome, Target};
use crate::clone_database::{CloneDatabase, DatabaseCopy};
use crate::comparison::mask::Mask;
use crate::comparison::snapshot::Snapshot;
use crate::report::Report;
use crate::setup_error::SetupError;
use crate::violation::{Violation, ViolationKind};

/// One clean run, and two on a copy whose sequences were moved on.
const RUNS: usize = 3;

pub(crate) enum Calibration {
    Baseline(Box<Baseline>),
    /// Clean runs already show a violation, which is in the report.
    Violated,
}

/// Delivers without a fault, each time on a copy of its own, and compares.
pub(crate) async fn calibrate<T: Target>(
    runner: &Runner<'_, T>,
    copies: &CopyPool<T::Database>,
    report: &mut Report,
) -> Result<Calibration, SetupError> {
    let mut ends = Vec::new();
    let mut first = None;
    let mut returned = Vec::new();
    let mut infallible = BTreeSet::new();
    for run in 0..RUNS {
        let copy = copies.next().await?;
        let cleaned = clean_run(runner, &copy, run > 0).await;
        copies.discard(copy);
        let CleanRun {
            base,
            end,
            outcome,
            steps,
            failure,
        } = cleaned?;
        ends.push(end);
        if let Some(lines) = failure {
            report
                .violations
                .push(violation(ViolationKind::NeverSucceeds, lines));
            return Ok(Calibration::Violated);
        }
        if let DeliveryOutcome::Ok(success) = &outcome {
            returned.extend(success.returned.clone());
        }
        // On SQLite a statement may end before its call waits for it, but not in each run.
        if first.is_none() || runner.injector.checkpoints().is_some() {
            infallible.extend(steps.infallible);
        }
        if first.is_none() {
            report.steps = steps.shown;
            first = Some((base, outcome, steps.writes));
        }
    }
    let (base, outcome, writes) = first.expect("there is a first run");
    if ends[0].is_same(&base) {
        return Err(SetupError::new(
            "a delivery without any fault changed nothing, so there is no effect to look for: check the message, and the rows \
             that the handler needs in the database that is explored",
        ));
    }
    let mask = match Mask::calibrate(&ends, &base) {
        Ok(mask) => mask,
        Err(differing) => {
            let lines = differing.iter().map(ToString::to_string).collect();
            report
                .violations
                .push(violation(ViolationKind::NotDeterministic, lines));
            return Ok(Calibration::Violated);
        }
    };
    report.mask = mask.lines();
    let minted: Vec<String> = report
        .mask
        .iter()
        .filter(|line| is_event_id(line))
        .cloned()
        .collect();
    if !minted.is_empty() {
        report
            .violations
            .push(violation(ViolationKind::UnstableEventId, minted));
        return Ok(Calibration::Violated);
    }
    Ok(Calibration::Baseline(Box::new(Baseline {
        base,
        end: ends.swap_remove(0),
        mask,
        outcome,
        returned: same_in_each(&returned),
        writes,
        infallible,
    })))
}

fn same_in_each(returned: &[Returned]) -> Option<Returned> {
    let first = returned.first()?;
    let is_same = returned.iter().all(|other| other == first);
    is_same.then(|| first.clone())
}

/// The ID in a table that is an outbox by its name: consumers recognise a duplicate by it.
fn is_event_id(masked: &str) -> bool {
    let column = masked.split_whitespace().next().unwrap_or_default();
    column.rsplit_once('.').is_some_and(|(table, column)| {
        table.ends_with("outbox") && matches!(column, "id" | "event_id" | "message_id")
    })
}

struct CleanRun {
    base: Snapshot,
    end: Snapshot,
    outcome: DeliveryOutcome,
    steps: Steps,
    /// If it failed: why that is not a stored error, which the next delivery would get, too.
    failure: Option<Vec<String>>,
}

async fn clean_run<T: Target>(
    runner: &Runner<'_, T>,
    copy: &DatabaseCopy,
    advances: bool,
) -> Result<CleanRun, SetupError> {
    if advances {
        T::Database::advance_sequences(runner.template, copy).await?;
    }
    let base = runner.snapshot(copy).await?;
    let process = runner.process(copy, true).await?;
    let (outcome, steps) = runner.deliver_cleanly(&process).await;
    let end = runner.snapshot(copy).await?;
    let mut failure = None;
    if let DeliveryOutcome::Failed(first) = &outcome {
        let (second, _) = runner.deliver_cleanly(&process).await;
        let after = runner.snapshot(copy).await?;
        if second != outcome || !after.is_same(&end) || end.is_same(&base) {
            let mut lines = vec![format!("a delivery without any fault failed: {first}")];
            match second {
                DeliveryOutcome::Failed(second) => {
                    lines.push(format!("the next one failed: {second}"));
                }
                DeliveryOutcome::Ok(success) => {
                    lines.push(format!("the next one succeeded: {}", success.label));
                }
            }
            lines.push("check the message, and the rows that the handler needs in the database that is explored".into());
            failure = Some(lines);
        }
    }
    process.end().await;
    Ok(CleanRun {
        base,
        end,
        outcome,
        steps,
        failure,
    })
}

fn violation(kind: ViolationKind, found: Vec<String>) -> Violation {
    Violation {
        kind,
        fault: None,
        timeline: vec!["delivered to copies of the database, without any fault".into()],
        steps: Vec::new(),
        present: Vec::new(),
        found,
        command: None,
    }
}
