//! Clean runs: what the effect is, and what may differ from run to run.

use std::collections::BTreeSet;

use super::Snapshot;
use super::mask::Mask;
use super::report::Report;
use super::specimens::Specimens;
use super::subject::{Delivered, Subject};
use super::trial::{Bench, Steps};
use super::verdict::Clean;
use super::violation::{Breach, Violation};
use crate::store::lab::{Lab, LabError};

/// Clean runs: one, and two on burned sequences.
const RUNS: usize = 3;

pub(crate) enum Calibration {
    Clean(Box<Clean>),
    /// Clean runs already break a law, and the report says so.
    Broken,
}

/// Delivers without a fault, each time on a copy of its own, and compares.
pub(crate) async fn calibrate<S: Subject>(
    bench: &Bench<'_, S>,
    specimens: &Specimens<S::Database>,
    report: &mut Report,
) -> Result<Calibration, LabError> {
    let mut ends = Vec::new();
    let mut first = None;
    let mut sure = BTreeSet::new();
    for run in 0..RUNS {
        let specimen = specimens.next().await?;
        let cleaned = clean_run(bench, &specimen, run > 0).await;
        specimens.discard(specimen);
        let CleanRun {
            base,
            end,
            ended,
            steps,
            again,
        } = cleaned?;
        ends.push(end);
        if let Some(told) = again {
            report.violations.push(broken(Breach::Stuck, told));
            return Ok(Calibration::Broken);
        }
        // On SQLite a statement may have ended before its call waited for it: not in each run.
        if first.is_none() || bench.points.checkpoints().is_some() {
            sure.extend(steps.sure);
        }
        if first.is_none() {
            report.steps = steps.shown;
            first = Some((base, ended, steps.writes));
        }
    }
    let (base, ended, writes) = first.expect("there is a first run");
    if ends[0].is_same(&base) {
        return Err(LabError::new(
            "a delivery without any fault changed nothing, so there is no effect to look for: check the message, and the rows \
             that the handler needs in the database that is explored",
        ));
    }
    let mask = match Mask::calibrate(&ends, &base) {
        Ok(mask) => mask,
        Err(differing) => {
            let told = differing.iter().map(ToString::to_string).collect();
            report
                .violations
                .push(broken(Breach::NotDeterministic, told));
            return Ok(Calibration::Broken);
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
        report.violations.push(broken(Breach::EventIds, minted));
        return Ok(Calibration::Broken);
    }
    Ok(Calibration::Clean(Box::new(Clean {
        base,
        end: ends.swap_remove(0),
        mask,
        ended,
        writes,
        sure,
    })))
}

/// The ID in a table that is an outbox by its name: what consumers tell a duplicate by.
fn is_event_id(masked: &str) -> bool {
    let column = masked.split_whitespace().next().unwrap_or_default();
    column.rsplit_once('.').is_some_and(|(table, column)| {
        table.ends_with("outbox") && matches!(column, "id" | "event_id" | "message_id")
    })
}

struct CleanRun {
    base: Snapshot,
    end: Snapshot,
    ended: Delivered,
    steps: Steps,
    /// Why what it failed with is no stored error that the next delivery gets, too.
    again: Option<Vec<String>>,
}

async fn clean_run<S: Subject>(
    bench: &Bench<'_, S>,
    specimen: &crate::store::lab::Specimen,
    burns: bool,
) -> Result<CleanRun, LabError> {
    if burns {
        S::Database::burn(bench.template, specimen).await?;
    }
    let base = bench.snapshot(specimen).await?;
    let life = bench.life(specimen, true).await?;
    let (ended, steps) = bench.deliver_cleanly(&life).await;
    let end = bench.snapshot(specimen).await?;
    let mut again = None;
    if let Delivered::Failed(first) = &ended {
        let (second, _) = bench.deliver_cleanly(&life).await;
        let after = bench.snapshot(specimen).await?;
        if second != ended || !after.is_same(&end) || end.is_same(&base) {
            let mut told = vec![format!("a delivery without any fault failed: {first}")];
            match second {
                Delivered::Failed(second) => told.push(format!("the next one failed: {second}")),
                Delivered::Ok(ended) => {
                    told.push(format!("the next one ended well: {}", ended.said()));
                }
            }
            told.push("check the message, and the rows that the handler needs in the database that is explored".into());
            again = Some(told);
        }
    }
    life.end().await;
    Ok(CleanRun {
        base,
        end,
        ended,
        steps,
        again,
    })
}

fn broken(breach: Breach, found: Vec<String>) -> Violation {
    Violation {
        breach,
        fault: None,
        story: vec!["delivered to copies of the database, without any fault".into()],
        steps: Vec::new(),
        already: Vec::new(),
        found,
        replay: None,
    }
}
