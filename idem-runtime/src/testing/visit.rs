//! One run after the other, and what they came to.

use std::env;
use std::io::{IsTerminal as _, Write as _, stderr};

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
    pub(crate) bench: &'v Bench<'b, S>,
    pub(crate) clean: &'v Clean,
    pub(crate) specimens: &'v mut Specimens<S::Database>,
    pub(crate) report: &'v mut Report,
}

impl<S: Subject> Visit<'_, '_, S> {
    pub(crate) async fn each(&mut self, faults: Vec<Fault>) -> Result<(), LabError> {
        let all = faults.len();
        for (index, fault) in faults.into_iter().enumerate() {
            progress(|| format!("{} {index} of {all}: {fault}", self.report.subject));
            if self.has_enough_of(fault.mode()) {
                self.note(format!(
                    "after {ENOUGH} violations its other points were not visited: {}",
                    fault.mode()
                ));
            } else {
                self.run(fault).await?;
            }
        }
        progress(String::new);
        Ok(())
    }

    /// Drops at each pending point, until calls end before it.
    pub(crate) async fn drops(&mut self) -> Result<(), LabError> {
        // A reply that is there already is no point to wait at, so one call may have fewer than another.
        let mut ended_before = 0;
        for point in 1..=MANY {
            let fault = Fault::at(Mode::Dropped, point);
            if self.has_enough_of(Mode::Dropped) {
                break;
            }
            progress(|| format!("{}: {fault}", self.report.subject));
            if self.run(fault).await? {
                ended_before = 0;
                continue;
            }
            self.report.unreached -= 1;
            ended_before += 1;
            if ended_before == 2 {
                break;
            }
        }
        progress(String::new);
        Ok(())
    }

    /// Whether the point was reached.
    async fn run(&mut self, fault: Fault) -> Result<bool, LabError> {
        let specimen = self.specimens.next().await?;
        let trial = self.bench.trial(self.clean, &specimen, fault).await;
        self.specimens.discard(specimen);
        let Trial {
            reached,
            steps,
            story,
            broken,
        } = trial?;
        if !reached {
            self.report.unreached += 1;
        }
        if reached || broken.is_some() {
            *self.report.runs.entry(fault.mode()).or_default() += 1;
        }
        if let Some(Broken {
            breach,
            found,
            already,
        }) = broken
        {
            let clean = if fault.mode().is_at_write() {
                &self.clean.writes
            } else {
                &self.report.steps
            };
            self.report.violations.push(Violation {
                breach,
                fault: Some(fault),
                story,
                steps: around(fault.first, &steps, clean),
                already,
                found,
                replay: Some(replay(fault)),
            });
        }
        Ok(reached)
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
}
