//! What an exploration says in the end.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::fault::FaultKind;
use crate::violation::{Violation, ViolationKind};

/// Violations that are shown in full. The others get a line for each kind.
const IN_FULL: usize = 3;

/// Faults of further violations that are named.
const NAMED: usize = 12;

/// What an exploration found. [`assert_holds`](Self::assert_holds) is what a test does with it.
#[derive(Clone, Debug)]
#[must_use = "an exploration fails no test by itself: call `assert_holds`"]
pub struct Report {
    pub(crate) target: String,
    pub(crate) database: &'static str,
    /// The noun for its steps: round trip, checkpoint.
    pub(crate) step: &'static str,
    pub(crate) steps: Vec<String>,
    pub(crate) runs: BTreeMap<FaultKind, u64>,
    /// Planned faults whose point was not reached.
    pub(crate) unreached: u64,
    pub(crate) mask: Vec<String>,
    pub(crate) notes: Vec<String>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) elapsed: Duration,
    pub(crate) setup_error: Option<String>,
}

impl Report {
    pub(crate) const fn new(target: String, database: &'static str) -> Self {
        Self {
            target,
            database,
            step: "step",
            steps: Vec::new(),
            runs: BTreeMap::new(),
            unreached: 0,
            mask: Vec::new(),
            notes: Vec::new(),
            violations: Vec::new(),
            elapsed: Duration::ZERO,
            setup_error: None,
        }
    }

    /// Whether every run was carried out, and none found a violation.
    pub const fn holds(&self) -> bool {
        self.setup_error.is_none() && self.violations.is_empty()
    }

    /// Prints the report.
    ///
    /// # Panics
    /// If a run found a violation, or the exploration could not be carried out, with the report as
    /// message.
    #[track_caller]
    pub fn assert_holds(&self) {
        assert!(self.holds(), "{self}");
        println!("{self}");
    }

    /// The violations, in the order of their [fault kinds](FaultKind) and points.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Why the exploration could not be carried out, and what to do about it; `None` if it was.
    pub fn setup_error(&self) -> Option<&str> {
        self.setup_error.as_deref()
    }

    /// The steps of a clean run: its round trips, or on SQLite the checkpoints of its statements.
    pub fn steps(&self) -> &[String] {
        &self.steps
    }

    /// How many runs there were of each kind.
    pub const fn runs(&self) -> &BTreeMap<FaultKind, u64> {
        &self.runs
    }

    /// The columns that may differ from run to run, and why: `orders.id (identity, compared 1:1)`.
    pub fn mask(&self) -> &[String] {
        &self.mask
    }

    /// How long it took.
    pub const fn elapsed(&self) -> Duration {
        self.elapsed
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            target, database, ..
        } = self;
        if let Some(setup_error) = &self.setup_error {
            return write!(
                f,
                "{target} on {database} could not be explored: {setup_error}"
            );
        }
        let runs: u64 = self.runs.values().sum();
        if self.violations.is_empty() {
            writeln!(
                f,
                "{target} on {database} is effectively-once at every point that was visited"
            )?;
        } else {
            let summary = match (self.violations.len(), runs) {
                (_, 0) => "deliveries without any fault show it".to_owned(),
                (violated, runs) => format!("{violated} of {runs} runs found a violation"),
            };
            writeln!(
                f,
                "{target} on {database} is not effectively-once: {summary}\n"
            )?;
            self.write_violations(f)?;
        }
        write!(
            f,
            "{} {}s, {runs} runs in {:.1} s",
            self.steps.len(),
            self.step,
            self.elapsed.as_secs_f64()
        )?;
        for (index, (kind, runs)) in self.runs.iter().enumerate() {
            write!(f, "{} {kind} {runs}", if index == 0 { ":" } else { "," })?;
        }
        writeln!(f)?;
        if self.unreached > 0 {
            writeln!(
                f,
                "{} runs ended before the point of their fault",
                self.unreached
            )?;
        }
        if !self.mask.is_empty() {
            writeln!(f, "may differ from run to run: {}", self.mask.join(", "))?;
        }
        self.notes
            .iter()
            .try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

impl Report {
    fn write_violations(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut full, mut short) = (Vec::<&Violation>::new(), Vec::new());
        for violation in &self.violations {
            // One violation of each kind says more than many of one kind.
            let kind = violation.fault.map(|fault| fault.kind());
            let is_new = full.iter().all(|shown| shown.kind != violation.kind);
            let is_other = full
                .iter()
                .all(|shown| shown.fault.map(|fault| fault.kind()) != kind);
            if is_new || (is_other && full.len() < IN_FULL) {
                full.push(violation);
            } else {
                short.push(violation);
            }
        }
        full.iter()
            .try_for_each(|violation| writeln!(f, "{violation}"))?;
        let mut more: BTreeMap<ViolationKind, Vec<String>> = BTreeMap::new();
        for violation in short {
            let fault = violation.fault.map(|fault| fault.to_string());
            more.entry(violation.kind)
                .or_default()
                .push(fault.unwrap_or_default());
        }
        for (kind, faults) in more {
            writeln!(
                f,
                "error: {kind}, in {} more run{} [{}]\n",
                faults.len(),
                if faults.len() == 1 { "" } else { "s" },
                shortened(&faults)
            )?;
        }
        Ok(())
    }
}

/// The first ones and the last one, if there are many.
fn shortened(faults: &[String]) -> String {
    match faults {
        [first @ .., last] if faults.len() > NAMED => {
            format!("{}, … {last}", first[..NAMED].join(", "))
        }
        few => few.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;

    fn report() -> Report {
        let mut report = Report::new("payments.apply".into(), "postgresql");
        report.step = "round trip";
        report.steps = vec!["BEGIN".into(), "COMMIT".into()];
        report.runs = BTreeMap::from([(FaultKind::CutReply, 2), (FaultKind::Sequential, 1)]);
        report.mask = vec!["orders.id (identity, compared 1:1)".into()];
        report.elapsed = Duration::from_millis(1_250);
        report
    }

    fn violation(fault: &str) -> Violation {
        Violation {
            kind: ViolationKind::DuplicateEffect,
            fault: Some(fault.parse::<Fault>().unwrap()),
            timeline: vec![
                "delivery 1: the server executed round trip 2, and its reply was lost".into(),
            ],
            steps: vec!["     1  BEGIN".into(), "->   2  COMMIT".into()],
            found: vec![
                "table accounts".into(),
                "  ~ id 1: balance is 110, should be 105".into(),
            ],
            present: Vec::new(),
            command: Some("IDEM_EXPLORE='cut-reply@2' cargo test".into()),
        }
    }

    #[test]
    fn a_clean_report_says_how_many_steps_runs_and_modes() {
        let report = report();
        assert!(report.holds());
        assert_eq!(
            report.to_string(),
            "payments.apply on postgresql is effectively-once at every point that was visited\n\
             2 round trips, 3 runs in 1.2 s: cut-reply 2, in-a-row 1\n\
             may differ from run to run: orders.id (identity, compared 1:1)\n"
        );
    }

    #[test]
    fn a_violation_says_where_what_is_wrong_what_helps_and_how_to_reproduce_it() {
        let mut report = report();
        report.violations = vec![violation("cut-reply@1"), violation("cut-reply@2")];
        let text = report.to_string();
        let expected = "\
payments.apply on postgresql is not effectively-once: 2 of 3 runs found a violation

error: the effect happened again [cut-reply@1]
  what was done:
    delivery 1: the server executed round trip 2, and its reply was lost
  where:
         1  BEGIN
    ->   2  COMMIT
  the database (- is missing, + should not be there):
    table accounts
      ~ id 1: balance is 110, should be 105
  help: record the ID that the producer gave the message";
        assert!(text.starts_with(expected), "{text}");
        assert!(
            text.contains("\n  reproduce with: IDEM_EXPLORE='cut-reply@2' cargo test\n"),
            "{text}"
        );
        assert!(
            text.contains("\nerror: the effect happened again, in 1 more run [cut-reply@2]\n"),
            "{text}"
        );
    }

    #[test]
    fn what_a_report_shows_can_be_asked_for() {
        let mut report = report();
        report.violations = vec![violation("cut-reply@1"), violation("dropped@2")];
        report.setup_error = Some("the server is gone".into());
        let points: Vec<_> = report
            .violations()
            .iter()
            .map(|violation| violation.fault().and_then(|fault| fault.point()))
            .collect();
        assert_eq!(points, [Some(1), Some(2)]);
        assert_eq!(report.setup_error(), Some("the server is gone"));
        assert_eq!(report.steps(), ["BEGIN", "COMMIT"]);
        assert_eq!(report.runs()[&FaultKind::CutReply], 2);
        assert_eq!(report.mask(), ["orders.id (identity, compared 1:1)"]);
        assert_eq!(report.elapsed(), Duration::from_millis(1_250));
    }

    #[test]
    fn a_violation_or_a_setup_error_is_enough_not_to_hold() {
        let (mut finding, mut stuck) = (report(), report());
        finding.violations = vec![violation("cut-reply@1")];
        stuck.setup_error = Some("the server is gone".into());
        assert!(!finding.holds() && !stuck.holds());
    }

    #[test]
    fn runs_that_were_not_reached_and_notes_are_shown() {
        let mut report = report();
        report.unreached = 2;
        report.notes = vec!["copies are made anew".into()];
        let text = report.to_string();
        assert!(
            text.contains("\n2 runs ended before the point of their fault\n"),
            "{text}"
        );
        assert!(text.ends_with("\nnote: copies are made anew\n"), "{text}");
    }

    /// Each kind of violation is shown in full, and for one of them a few kinds of fault.
    #[test]
    fn of_many_violations_one_of_each_kind_is_shown_in_full() {
        let mut report = report();
        report.violations = [
            "cut-reply@1",
            "cut-reply@2",
            "dropped@1",
            "killed@1",
            "deadlock@1",
        ]
        .map(violation)
        .into();
        let mut torn = violation("cut-request@3");
        torn.kind = ViolationKind::PartialCommit;
        report.violations.push(torn);
        let text = report.to_string();
        let in_full: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("error: "))
            .collect();
        assert_eq!(
            in_full,
            [
                "error: the effect happened again [cut-reply@1]",
                "error: the effect happened again [dropped@1]",
                "error: the effect happened again [killed@1]",
                "error: a part of the effect was committed without the rest [cut-request@3]",
                "error: the effect happened again, in 2 more runs [cut-reply@2, deadlock@1]",
            ]
        );
    }

    #[test]
    #[should_panic(
        expected = "payments.apply on postgresql could not be explored: the server is gone"
    )]
    fn what_could_not_be_explored_does_not_hold() {
        let mut report = report();
        report.setup_error = Some("the server is gone".into());
        report.assert_holds();
    }

    #[test]
    fn of_many_faults_the_first_and_the_last_are_named() {
        let faults: Vec<String> = (1..=20).map(|point| format!("dropped@{point}")).collect();
        assert_eq!(shortened(&faults[..2]), "dropped@1, dropped@2");
        assert!(shortened(&faults[..12]).ends_with("dropped@11, dropped@12"));
        assert!(shortened(&faults[..13]).ends_with("dropped@12, … dropped@13"));
        assert!(shortened(&faults).ends_with("dropped@12, … dropped@20"));
    }
}
