//! What a program shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};

use crate::audit::{Published, State, Verdict, audit};

/// How many of the culprits are named.
const NAMED: usize = 5;

/// The last line.
#[derive(Debug, PartialEq, Eq)]
pub struct Summary {
    /// Deliveries that reached the database: executed or replayed.
    pub delivered: usize,
    /// Effects that came into the database.
    pub executed: usize,
    /// Deliveries that got the stored result.
    pub replayed: usize,
    /// Distinct events that came into the file.
    pub published: usize,
    /// What the audit found.
    pub verdict: Verdict,
}

impl Summary {
    /// Compares the database and the file before a run and after it. `replayed` is what the
    /// handlers reported; everything else is read from the database and the file.
    pub fn new(
        delivered: &BTreeSet<String>,
        before: &State,
        after: &State,
        elsewhere: &BTreeSet<Published>,
        replayed: usize,
    ) -> Self {
        let executed = after.entries().saturating_sub(before.entries());
        let events = after.events.union(elsewhere).cloned().collect();
        Self {
            delivered: executed + replayed,
            executed,
            replayed,
            published: after.events.difference(&before.events).count(),
            verdict: audit(delivered, &after.books, &events),
        }
    }

    /// Names what is doubled or lost on standard error, prints the last line, and returns how the
    /// program ends.
    pub fn conclude(&self) -> ExitCode {
        for (what, culprits) in [
            ("doubled", &self.verdict.doubled),
            ("lost", &self.verdict.lost),
        ] {
            for culprit in culprits.iter().take(NAMED) {
                eprintln!("{what}: {culprit}");
            }
            if culprits.len() > NAMED {
                eprintln!("{what}: {} more", culprits.len() - NAMED);
            }
        }
        println!("{self}");
        if self.verdict == Verdict::default() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "delivered={} executed={} replayed={} published={} doubled={} lost={}",
            self.delivered,
            self.executed,
            self.replayed,
            self.published,
            self.verdict.doubled.len(),
            self.verdict.lost.len(),
        )
    }
}

/// Prints names and what was counted under them.
pub fn table(counts: &BTreeMap<&str, i64>, unit: &str) {
    let width = |text: &dyn fmt::Display| text.to_string().chars().count();
    let names = counts.keys().map(|name| width(name)).max().unwrap_or(0);
    let numbers = counts
        .values()
        .map(|number| width(number))
        .max()
        .unwrap_or(0);
    for (name, number) in counts {
        println!("  {name:names$}  {number:>numbers$} {unit}");
    }
    println!();
}

/// A progress bar on standard error; invisible where that is no terminal.
pub fn progress(length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("  {bar:40} {pos}/{len} acknowledged, {per_sec}");
    ProgressBar::new(length as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
