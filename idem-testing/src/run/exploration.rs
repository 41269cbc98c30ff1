//! All runs of an exploration, and what they found.

use std::collections::BTreeSet;
use std::env;
use std::io::{IsTerminal as _, Write as _, stderr};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::baseline::Baseline;
use super::copy_pool::CopyPool;
use super::finding::Finding;
use super::plan::ONLY;
use super::runner::Runner;
use super::single_run::{self, RunResult};
use super::target::Target;
use crate::fault::{Fault, FaultKind, FaultPoint};
use crate::report::Report;
use crate::setup_error::SetupError;
use crate::violation::Violation;

/// A call that is pending more often than this is taken to never end.
const MAX_PENDING_POINTS: u64 = 2_000;

/// After this number of violations under one kind of fault its other points are not visited.
const ENOUGH: usize = 20;

/// An exploration under way.
pub(crate) struct Exploration<'v, 'b, T: Target> {
    /// Each carries out one run at a time.
    pub(crate) runners: &'v [Runner<'b, T>],
    pub(crate) baseline: &'v Baseline,
    pub(crate) copies: &'v CopyPool<T::Database>,
    pub(crate) report: &'v mut Report,
}

/// Faults of runs by how they went.
#[derive(Default)]
struct Runs {
    /// Their point was not reached.
    missed: Vec<Fault>,
    /// The delivery succeeded in spite of them, and nothing was wrong.
    survived: Vec<Fault>,
}

impl<T: Target> Exploration<'_, '_, T> {
    pub(crate) async fn each(&mut self, faults: Vec<Fault>) -> Result<(), SetupError> {
        let of_all = format!(" of {}", faults.len());
        let Runs { missed, survived } = self.runs(faults, &of_all).await?;
        self.report.unreached += missed.len() as u64;
        // What succeeded in spite of its fault may have tried again by itself: then the fault comes
        // again, too.
        let repeated: Vec<_> = survived.into_iter().filter_map(Fault::repeated).collect();
        let of_all = format!(" of {}", repeated.len());
        self.runs(repeated, &of_all).await.map(drop)
    }

    /// Drops at each pending point, until calls end before it.
    pub(crate) async fn drops(&mut self) -> Result<(), SetupError> {
        let mut missed = BTreeSet::new();
        // A reply that has come already is not waited for, so one call may have fewer points than
        // another.
        let is_end = |missed: &BTreeSet<u64>| {
            missed
                .iter()
                .any(|point| *point > 1 && missed.contains(&(point - 1)))
        };
        let mut points = 1..=MAX_PENDING_POINTS;
        while !is_end(&missed) && !self.has_enough_of(FaultKind::Dropped) {
            let round = points.by_ref().take(self.runners.len());
            let round: Vec<_> = round
                .map(|point| Fault::at(FaultKind::Dropped, point))
                .collect();
            if round.is_empty() {
                break;
            }
            let runs = self.runs(round, "").await?;
            missed.extend(runs.missed.iter().map(|fault| fault.first.point));
        }
        Ok(())
    }

    /// Runs with these faults, as many at a time as there are runners.
    async fn runs(&mut self, faults: Vec<Fault>, of_all: &str) -> Result<Runs, SetupError> {
        let mut faults = (1..).zip(faults);
        let mut idle: Vec<_> = self.runners.iter().collect();
        // It polls a run only when that run was woken: runs are dropped at their k-th poll.
        let mut running = FuturesUnordered::new();
        let mut runs = Runs::default();
        let mut error = None;
        loop {
            while error.is_none()
                && let Some(runner) = idle.pop()
            {
                let Some((index, fault)) = self.next(&mut faults) else {
                    break;
                };
                progress(|| format!("{}: run {index}{of_all}, {fault}", self.report.target));
                running.push(run(runner, self.baseline, self.copies, fault));
            }
            // Also after an error: each run gives its copy back.
            let Some((runner, fault, result)) = running.next().await else {
                break;
            };
            match result {
                Ok(result) => {
                    if !result.reached {
                        runs.missed.push(fault);
                    } else if result.survived && result.finding.is_none() {
                        runs.survived.push(fault);
                    }
                    if result.reached || result.finding.is_some() {
                        self.record(fault, result);
                    }
                }
                Err(failed) => error = error.or(Some(failed)),
            }
            idle.push(runner);
        }
        progress(String::new);
        error.map_or(Ok(runs), Err)
    }

    /// The next fault of a kind that has not shown enough violations.
    fn next(
        &mut self,
        faults: &mut impl Iterator<Item = (usize, Fault)>,
    ) -> Option<(usize, Fault)> {
        loop {
            let (index, fault) = faults.next()?;
            if !self.has_enough_of(fault.kind()) {
                return Some((index, fault));
            }
            self.note(format!(
                "after {ENOUGH} violations its other points were not visited: {}",
                fault.kind()
            ));
        }
    }

    fn record(&mut self, fault: Fault, result: RunResult) {
        *self.report.runs.entry(fault.kind()).or_default() += 1;
        let Some(Finding {
            kind,
            found,
            present,
        }) = result.finding
        else {
            return;
        };
        let clean = if fault.kind().is_at_write() {
            &self.baseline.writes
        } else {
            &self.report.steps
        };
        self.report.violations.push(Violation {
            kind,
            fault: Some(fault),
            timeline: result.timeline,
            steps: around(fault.first, &result.steps, clean),
            present,
            found,
            command: Some(command(fault)),
        });
    }

    /// If no run reached its fault, nothing is proven.
    pub(crate) fn expect_runs(&self) -> Result<(), SetupError> {
        if self.report.runs.is_empty() {
            return Err(SetupError::new(format!(
                "no point was visited: name kinds of faults that {} has, and points of the {} {}s of a clean run",
                self.report.database,
                self.report.steps.len(),
                self.report.step,
            )));
        }
        Ok(())
    }

    fn has_enough_of(&self, kind: FaultKind) -> bool {
        let is_of_kind =
            |violation: &&Violation| violation.fault.is_some_and(|fault| fault.kind() == kind);
        self.report.violations.iter().filter(is_of_kind).count() >= ENOUGH
    }

    pub(crate) fn note(&mut self, note: String) {
        if !self.report.notes.contains(&note) {
            self.report.notes.push(note);
        }
    }
}

/// One run, on a copy of its own.
async fn run<'v, 'b, T: Target>(
    runner: &'v Runner<'b, T>,
    baseline: &Baseline,
    copies: &CopyPool<T::Database>,
    fault: Fault,
) -> (&'v Runner<'b, T>, Fault, Result<RunResult, SetupError>) {
    let result = match copies.next().await {
        Ok(copy) => {
            let result = single_run::run(runner, baseline, &copy, fault).await;
            copies.discard(copy);
            result
        }
        Err(error) => Err(error),
    };
    (runner, fault, result)
}

/// The steps before and after the one with the fault, which is marked. Steps that the run did not
/// reach are the clean run's.
fn around(point: FaultPoint, steps: &[String], clean: &[String]) -> Vec<String> {
    let marked = match point.kind {
        // It waited for the answer to the last step that it had sent.
        FaultKind::Dropped => steps.len(),
        kind if kind.is_at_step() || kind.is_at_write() => {
            usize::try_from(point.point).unwrap_or(usize::MAX)
        }
        _ => return Vec::new(),
    };
    let steps = if clean.starts_with(steps) {
        clean
    } else {
        steps
    };
    let first = marked.saturating_sub(4);
    let line = |(index, step): (usize, &String)| {
        let number = first + index + 1;
        let mark = if number == marked { "->" } else { "  " };
        format!("{mark} {number:>3}  {step}")
    };
    let shown = steps.iter().skip(first).take(marked + 2 - first);
    shown.enumerate().map(line).collect()
}

/// The command that repeats one run alone. The thread of a test has the name of the test.
fn command(fault: Fault) -> String {
    let package = env::var("CARGO_PKG_NAME");
    match (package, std::thread::current().name()) {
        (Ok(package), Some(test)) if test != "main" => {
            format!("{ONLY}='{fault}' cargo test -p {package} '{test}' -- --exact --nocapture")
        }
        _ => format!("set {ONLY}='{fault}' and run this program again"),
    }
}

/// A line on the terminal that the next one overwrites.
fn progress(line: impl FnOnce() -> String) {
    if stderr().is_terminal() {
        let _ = write!(stderr(), "\r\x1b[2K{}", line());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_with_the_fault_is_marked_among_its_neighbours() {
        let clean: Vec<String> = ["BEGIN", "a", "b", "c", "d", "COMMIT", "e", "f"]
            .map(Into::into)
            .into();
        let cut = FaultPoint {
            kind: FaultKind::CutRequest,
            point: 5,
            repeats: false,
        };
        let shown = [
            "     2  a",
            "     3  b",
            "     4  c",
            "->   5  d",
            "     6  COMMIT",
            "     7  e",
        ];
        assert_eq!(around(cut, &clean[..5], &clean), shown);
        let dropped = FaultPoint {
            kind: FaultKind::Dropped,
            point: 9,
            repeats: false,
        };
        assert!(around(dropped, &clean[..2], &clean).contains(&"->   2  a".to_owned()));
        assert!(
            around(
                FaultPoint {
                    kind: FaultKind::Concurrent,
                    point: 0,
                    repeats: false
                },
                &clean,
                &clean
            )
            .is_empty()
        );
    }

    #[test]
    fn a_run_is_reproduced_by_its_test_or_by_its_program() {
        let fault = Fault::at(FaultKind::CutReply, 6);
        if env::var("CARGO_PKG_NAME").is_ok() {
            assert_eq!(
                command(fault),
                "IDEM_EXPLORE='cut-reply@6' cargo test -p idem-testing \
                 'run::exploration::tests::a_run_is_reproduced_by_its_test_or_by_its_program' \
                 -- --exact --nocapture"
            );
        }
        let main = std::thread::Builder::new().name("main".into());
        let text = main.spawn(move || command(fault)).unwrap().join().unwrap();
        assert_eq!(
            text,
            "set IDEM_EXPLORE='cut-reply@6' and run this program again"
        );
    }
}
