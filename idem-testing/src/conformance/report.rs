//! What the suite found.

use std::fmt;
use std::time::Duration;

use super::failure::Failure;

/// What the suite found, case by case. A test calls [`assert_holds`](Self::assert_holds) on it.
#[derive(Clone, Debug)]
#[must_use = "the suite fails no test by itself: call `assert_holds`"]
pub struct ConformanceReport {
    /// A publisher or a source.
    role: &'static str,
    subject: &'static str,
    held: Vec<(String, Duration)>,
    violated: Vec<(String, String)>,
    left_out: Vec<(String, String)>,
}

impl ConformanceReport {
    pub(super) const fn new(role: &'static str, subject: &'static str) -> Self {
        Self {
            role,
            subject,
            held: Vec::new(),
            violated: Vec::new(),
            left_out: Vec::new(),
        }
    }

    pub(super) fn note(&mut self, case: &str, took: Duration, end: Result<(), Failure>) {
        let case = case.to_owned();
        match end {
            Ok(()) => self.held.push((case, took)),
            Err(Failure::Violated(what)) => self.violated.push((case, what)),
            Err(Failure::LeftOut(why)) => self.left_out.push((case, why)),
        }
    }

    /// Whether no case found a violation.
    pub const fn holds(&self) -> bool {
        self.violated.is_empty()
    }

    /// Prints the report, with the cases that were left out.
    ///
    /// # Panics
    /// If a case found a violation, with the report as the message.
    #[track_caller]
    pub fn assert_holds(&self) {
        assert!(self.holds(), "{self}");
        println!("{self}");
    }

    /// The violations: the case, and what was wrong.
    pub fn violations(&self) -> impl Iterator<Item = (&str, &str)> {
        pairs(&self.violated)
    }

    /// The cases that the target does not support, and why.
    pub fn left_out(&self) -> impl Iterator<Item = (&str, &str)> {
        pairs(&self.left_out)
    }
}

fn pairs(cases: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    cases
        .iter()
        .map(|(case, text)| (case.as_str(), text.as_str()))
}

impl fmt::Display for ConformanceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, subject, .. } = self;
        if self.holds() {
            writeln!(f, "{subject} keeps what a {role} must")?;
        } else {
            writeln!(f, "{subject} does not keep what a {role} must")?;
        }
        for (case, what) in self.violations() {
            writeln!(f, "error: {case}: {what}")?;
        }
        for (case, took) in &self.held {
            writeln!(f, "holds: {case} ({:.1} s)", took.as_secs_f64())?;
        }
        for (case, why) in self.left_out() {
            writeln!(f, "left out: {case}: {why}")?;
        }
        Ok(())
    }
}
