//! What an exploration says in the end.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::fault::Mode;
use super::violation::{Breach, Violation};

/// Violations that are told in full; the others in a line each.
const IN_FULL: usize = 3;

/// Faults of further violations that are named.
const TOLD: usize = 12;

/// What an exploration found. [`assert_holds`](Self::assert_holds) is what a test does with it.
#[derive(Clone, Debug)]
#[must_use = "an exploration fails no test by itself: call `assert_holds`"]
pub struct Report {
    pub(crate) subject: String,
    pub(crate) database: &'static str,
    /// The noun for its steps: round trip, checkpoint.
    pub(crate) step: &'static str,
    pub(crate) steps: Vec<String>,
    pub(crate) runs: BTreeMap<Mode, u64>,
    /// Injuries that were planned and whose point no run reached.
    pub(crate) unreached: u64,
    pub(crate) mask: Vec<String>,
    pub(crate) notes: Vec<String>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) elapsed: Duration,
    pub(crate) trouble: Option<String>,
}

impl Report {
    pub(crate) const fn new(subject: String, database: &'static str) -> Self {
        Self {
            subject,
            database,
            step: "step",
            steps: Vec::new(),
            runs: BTreeMap::new(),
            unreached: 0,
            mask: Vec::new(),
            notes: Vec::new(),
            violations: Vec::new(),
            elapsed: Duration::ZERO,
            trouble: None,
        }
    }

    /// Whether every run was carried out, and none broke a law.
    pub const fn holds(&self) -> bool {
        self.trouble.is_none() && self.violations.is_empty()
    }

    /// Prints the report.
    ///
    /// # Panics
    /// When a run broke a law, or the exploration could not be carried out, with the report as message.
    #[track_caller]
    pub fn assert_holds(&self) {
        assert!(self.holds(), "{self}");
        println!("{self}");
    }

    /// The runs that broke a law, in the order of their [modes](Mode) and points.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Why the exploration could not be carried out, and what to do; `None` if it was.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// The steps of a clean run: its round trips, or on SQLite the checkpoints of its statements.
    pub fn steps(&self) -> &[String] {
        &self.steps
    }

    /// How many runs were injured or repeated, for each mode.
    pub const fn runs(&self) -> &BTreeMap<Mode, u64> {
        &self.runs
    }

    /// The columns that may differ from run to run, and why: `orders.id (identity, the same in all tables)`.
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
            subject, database, ..
        } = self;
        if let Some(trouble) = &self.trouble {
            return write!(
                f,
                "{subject} on {database} could not be explored: {trouble}"
            );
        }
        let runs: u64 = self.runs.values().sum();
        if self.violations.is_empty() {
            writeln!(
                f,
                "{subject} on {database} is effectively-once at every point that was visited"
            )?;
        } else {
            let broken = match (self.violations.len(), runs) {
                (_, 0) => "deliveries without any fault broke a law".to_owned(),
                (broken, runs) => format!("{broken} of {runs} runs broke a law"),
            };
            writeln!(
                f,
                "{subject} on {database} is not effectively-once: {broken}\n"
            )?;
            self.tell_violations(f)?;
        }
        write!(
            f,
            "{} {}s, {runs} runs in {:.1} s",
            self.steps.len(),
            self.step,
            self.elapsed.as_secs_f64()
        )?;
        for (index, (mode, runs)) in self.runs.iter().enumerate() {
            write!(f, "{} {mode} {runs}", if index == 0 { ":" } else { "," })?;
        }
        writeln!(f)?;
        if self.unreached > 0 {
            writeln!(
                f,
                "{} runs ended before the point of their injury",
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
    fn tell_violations(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut full, mut short) = (Vec::<&Violation>::new(), Vec::new());
        for violation in &self.violations {
            // One of each kind says more than many of one.
            let mode = violation.fault.map(|fault| fault.mode());
            let is_new = full.iter().all(|told| told.breach != violation.breach);
            let is_other = full
                .iter()
                .all(|told| told.fault.map(|fault| fault.mode()) != mode);
            if is_new || (is_other && full.len() < IN_FULL) {
                full.push(violation);
            } else {
                short.push(violation);
            }
        }
        full.iter()
            .try_for_each(|violation| writeln!(f, "{violation}"))?;
        let mut more: BTreeMap<Breach, Vec<String>> = BTreeMap::new();
        for violation in short {
            let fault = violation.fault.map(|fault| fault.to_string());
            more.entry(violation.breach)
                .or_default()
                .push(fault.unwrap_or_default());
        }
        for (breach, faults) in more {
            writeln!(
                f,
                "error: {breach}, in {} more run{} [{}]\n",
                faults.len(),
                if faults.len() == 1 { "" } else { "s" },
                shortened(&faults)
            )?;
        }
        Ok(())
    }
}

/// Not all of many.
fn shortened(faults: &[String]) -> String {
    match faults {
        [first @ .., last] if faults.len() > TOLD => {
            format!("{}, … {last}", first[..TOLD].join(", "))
        }
        few => few.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fault::Fault;

    fn report() -> Report {
        let mut report = Report::new("payments.apply".into(), "postgresql");
        report.step = "round trip";
        report.steps = vec!["BEGIN".into(), "COMMIT".into()];
        report.runs = BTreeMap::from([(Mode::CutReply, 2), (Mode::InARow, 1)]);
        report.mask = vec!["orders.id (identity, by bijection)".into()];
        report.elapsed = Duration::from_millis(1_250);
        report
    }

    fn violation(fault: &str) -> Violation {
        Violation {
            breach: Breach::Doubled,
            fault: Some(fault.parse::<Fault>().unwrap()),
            story: vec![
                "delivery 1: the server executed round trip 2, and its reply was lost".into(),
            ],
            steps: vec!["     1  BEGIN".into(), "->   2  COMMIT".into()],
            found: vec![
                "table accounts".into(),
                "  ~ id 1: balance is 110, should be 105".into(),
            ],
            already: Vec::new(),
            replay: Some("IDEM_EXPLORE='cut-reply@2' cargo test".into()),
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
             may differ from run to run: orders.id (identity, by bijection)\n"
        );
    }

    #[test]
    fn a_violation_says_where_what_is_wrong_what_helps_and_how_to_see_it_again() {
        let mut report = report();
        report.violations = vec![violation("cut-reply@1"), violation("cut-reply@2")];
        let told = report.to_string();
        let expected = "\
payments.apply on postgresql is not effectively-once: 2 of 3 runs broke a law

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
        assert!(told.starts_with(expected), "{told}");
        assert!(
            told.contains("\n  again: IDEM_EXPLORE='cut-reply@2' cargo test\n"),
            "{told}"
        );
        assert!(
            told.contains("\nerror: the effect happened again, in 1 more run [cut-reply@2]\n"),
            "{told}"
        );
    }

    #[test]
    fn what_a_report_shows_can_be_asked_for() {
        let mut report = report();
        report.violations = vec![violation("cut-reply@1"), violation("dropped@2")];
        report.trouble = Some("nobody is there".into());
        let points: Vec<_> = report
            .violations()
            .iter()
            .map(|violation| violation.fault().and_then(|fault| fault.point()))
            .collect();
        assert_eq!(points, [Some(1), Some(2)]);
        assert_eq!(report.trouble(), Some("nobody is there"));
        assert_eq!(report.steps(), ["BEGIN", "COMMIT"]);
        assert_eq!(report.runs()[&Mode::CutReply], 2);
        assert_eq!(report.mask(), ["orders.id (identity, by bijection)"]);
        assert_eq!(report.elapsed(), Duration::from_millis(1_250));
    }

    #[test]
    fn a_run_that_broke_a_law_or_trouble_is_enough_not_to_hold() {
        let (mut broken, mut stuck) = (report(), report());
        broken.violations = vec![violation("cut-reply@1")];
        stuck.trouble = Some("nobody is there".into());
        assert!(!broken.holds() && !stuck.holds());
    }

    #[test]
    fn runs_that_were_not_reached_and_notes_are_told() {
        let mut report = report();
        report.unreached = 2;
        report.notes = vec!["copies are made anew".into()];
        let told = report.to_string();
        assert!(
            told.contains("\n2 runs ended before the point of their injury\n"),
            "{told}"
        );
        assert!(told.ends_with("\nnote: copies are made anew\n"), "{told}");
    }

    /// Each law is told in full, and for one law a few modes.
    #[test]
    fn of_many_violations_one_of_each_kind_is_told_in_full() {
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
        torn.breach = Breach::Torn;
        report.violations.push(torn);
        let told = report.to_string();
        let in_full: Vec<_> = told
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
        expected = "payments.apply on postgresql could not be explored: nobody is there"
    )]
    fn what_could_not_be_explored_does_not_hold() {
        let mut report = report();
        report.trouble = Some("nobody is there".into());
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
