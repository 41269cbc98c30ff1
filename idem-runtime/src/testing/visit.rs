//! All runs, and what they came to.

use std::collections::BTreeSet;
use std::env;
use std::io::{IsTerminal as _, Write as _, stderr};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::fault::{Fault, Injury, Mode};
use super::plan::ONLY;
use super::report::Report;
use super::specimens::Specimens;
use super::subject::Subject;
use super::trial::{Bench, Trial};
use super::verdict::{Broken, Clean};
use super::violation::Violation;
use crate::store::lab::LabError;

/// Pending points of a call that ends at all.
const MANY: u64 = 2_000;

/// Violations of one mode after which its other points are not visited any more.
const ENOUGH: usize = 20;

/// An exploration under way.
pub(crate) struct Visit<'v, 'b, S: Subject> {
    /// Each takes one run at a time.
    pub(crate) benches: &'v [Bench<'b, S>],
    pub(crate) clean: &'v Clean,
    pub(crate) specimens: &'v Specimens<S::Database>,
    pub(crate) report: &'v mut Report,
}

impl<S: Subject> Visit<'_, '_, S> {
    pub(crate) async fn each(&mut self, faults: Vec<Fault>) -> Result<(), LabError> {
        let of_all = format!(" of {}", faults.len());
        let missed = self.runs(faults, &of_all).await?;
        self.report.unreached += missed.len() as u64;
        Ok(())
    }

    /// Drops at each pending point, until calls end before it.
    pub(crate) async fn drops(&mut self) -> Result<(), LabError> {
        let mut missed = BTreeSet::new();
        // A reply that is there already is no point to wait at, so one call may have fewer than another.
        let is_end = |missed: &BTreeSet<u64>| {
            missed
                .iter()
                .any(|point| *point > 1 && missed.contains(&(point - 1)))
        };
        let mut points = 1..=MANY;
        while !is_end(&missed) && !self.has_enough_of(Mode::Dropped) {
            let round = points.by_ref().take(self.benches.len());
            let round: Vec<_> = round.map(|point| Fault::at(Mode::Dropped, point)).collect();
            if round.is_empty() {
                break;
            }
            let ended = self.runs(round, "").await?;
            missed.extend(ended.iter().map(|fault| fault.first.point));
        }
        Ok(())
    }

    /// Runs with these faults, as many at once as there are benches. Those whose point was not reached are given back.
    async fn runs(&mut self, faults: Vec<Fault>, of_all: &str) -> Result<Vec<Fault>, LabError> {
        let mut faults = (1..).zip(faults);
        let mut idle: Vec<_> = self.benches.iter().collect();
        // It polls a run when that one was woken, and not with the others: runs are dropped at their k-th poll.
        let mut running = FuturesUnordered::new();
        let mut missed = Vec::new();
        let mut trouble = None;
        loop {
            while trouble.is_none()
                && let Some(bench) = idle.pop()
            {
                let Some((index, fault)) = self.next(&mut faults) else {
                    break;
                };
                progress(|| format!("{}: run {index}{of_all}, {fault}", self.report.subject));
                running.push(run(bench, self.clean, self.specimens, fault));
            }
            // After trouble, too: each run gives its copy back.
            let Some((bench, fault, trial)) = running.next().await else {
                break;
            };
            match trial {
                Ok(trial) => {
                    if !trial.reached {
                        missed.push(fault);
                    }
                    if trial.reached || trial.broken.is_some() {
                        self.record(fault, trial);
                    }
                }
                Err(error) => trouble = trouble.or(Some(error)),
            }
            idle.push(bench);
        }
        progress(String::new);
        trouble.map_or(Ok(missed), Err)
    }

    /// The next one of a mode that has not shown enough.
    fn next(
        &mut self,
        faults: &mut impl Iterator<Item = (usize, Fault)>,
    ) -> Option<(usize, Fault)> {
        loop {
            let (index, fault) = faults.next()?;
            if !self.has_enough_of(fault.mode()) {
                return Some((index, fault));
            }
            self.note(format!(
                "after {ENOUGH} violations its other points were not visited: {}",
                fault.mode()
            ));
        }
    }

    fn record(&mut self, fault: Fault, trial: Trial) {
        *self.report.runs.entry(fault.mode()).or_default() += 1;
        let Some(Broken {
            breach,
            found,
            already,
        }) = trial.broken
        else {
            return;
        };
        let clean = if fault.mode().is_at_write() {
            &self.clean.writes
        } else {
            &self.report.steps
        };
        self.report.violations.push(Violation {
            breach,
            fault: Some(fault),
            story: trial.story,
            steps: around(fault.first, &trial.steps, clean),
            already,
            found,
            replay: Some(replay(fault)),
        });
    }

    /// Where no run came as far as its fault, nothing is proven.
    pub(crate) fn expect_runs(&self) -> Result<(), LabError> {
        if self.report.runs.is_empty() {
            return Err(LabError::new(format!(
                "no point was visited: name modes that {} has, and points of the {} {}s of a clean run",
                self.report.database,
                self.report.steps.len(),
                self.report.step,
            )));
        }
        Ok(())
    }

    fn has_enough_of(&self, mode: Mode) -> bool {
        let of_it =
            |violation: &&Violation| violation.fault.is_some_and(|fault| fault.mode() == mode);
        self.report.violations.iter().filter(of_it).count() >= ENOUGH
    }

    pub(crate) fn note(&mut self, note: String) {
        if !self.report.notes.contains(&note) {
            self.report.notes.push(note);
        }
    }
}

/// One run, on a copy of its own.
async fn run<'v, 'b, S: Subject>(
    bench: &'v Bench<'b, S>,
    clean: &Clean,
    specimens: &Specimens<S::Database>,
    fault: Fault,
) -> (&'v Bench<'b, S>, Fault, Result<Trial, LabError>) {
    let trial = match specimens.next().await {
        Ok(specimen) => {
            let trial = bench.trial(clean, &specimen, fault).await;
            specimens.discard(specimen);
            trial
        }
        Err(error) => Err(error),
    };
    (bench, fault, trial)
}

/// The steps before and after the injured one, which is marked. Those that it did not come to are the clean run's.
fn around(injury: Injury, steps: &[String], clean: &[String]) -> Vec<String> {
    let marked = match injury.mode {
        // It waited for the answer to what it had sent last.
        Mode::Dropped => steps.len(),
        mode if mode.is_at_step() || mode.is_at_write() => {
            usize::try_from(injury.point).unwrap_or(usize::MAX)
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

/// The command that repeats one run alone. The test's thread bears its name.
fn replay(fault: Fault) -> String {
    let package = env::var("CARGO_PKG_NAME");
    match (package, std::thread::current().name()) {
        (Ok(package), Some(test)) if test != "main" => {
            format!("{ONLY}='{fault}' cargo test -p {package} '{test}' -- --exact --nocapture")
        }
        _ => format!("set {ONLY}='{fault}' and run this program again"),
    }
}

/// A line that the next one overwrites, for who watches.
fn progress(line: impl FnOnce() -> String) {
    if stderr().is_terminal() {
        let _ = write!(stderr(), "\r\x1b[2K{}", line());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_injured_step_is_marked_among_its_neighbours() {
        let clean: Vec<String> = ["BEGIN", "a", "b", "c", "d", "COMMIT", "e", "f"]
            .map(Into::into)
            .into();
        let cut = Injury {
            mode: Mode::CutRequest,
            point: 5,
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
        let dropped = Injury {
            mode: Mode::Dropped,
            point: 9,
        };
        assert!(around(dropped, &clean[..2], &clean).contains(&"->   2  a".to_owned()));
        assert!(
            around(
                Injury {
                    mode: Mode::AtOnce,
                    point: 0
                },
                &clean,
                &clean
            )
            .is_empty()
        );
    }

    #[test]
    fn a_run_is_repeated_by_the_test_that_showed_it_or_by_the_program() {
        let fault = Fault::at(Mode::CutReply, 6);
        if env::var("CARGO_PKG_NAME").is_ok() {
            assert_eq!(
                replay(fault),
                "IDEM_EXPLORE='cut-reply@6' cargo test -p idem-runtime \
                 'testing::visit::tests::a_run_is_repeated_by_the_test_that_showed_it_or_by_the_program' \
                 -- --exact --nocapture"
            );
        }
        let main = std::thread::Builder::new().name("main".into());
        let told = main.spawn(move || replay(fault)).unwrap().join().unwrap();
        assert_eq!(
            told,
            "set IDEM_EXPLORE='cut-reply@6' and run this program again"
        );
    }
}
