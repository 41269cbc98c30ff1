//! What a run shows while it goes on: lines, and below them how far it is, on a terminal.

use std::fmt::Display;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

/// The lines of a run.
#[derive(Debug)]
pub(crate) struct Screen {
    pub(crate) bar: ProgressBar,
    start: Instant,
}

impl Screen {
    /// `length` is how many steps there are, if that is known; `unit` is what they are.
    pub(crate) fn new(length: Option<u64>, unit: &str) -> Self {
        let template = match length {
            Some(_) => format!("  {{bar:40}} {{pos}}/{{len}} {unit}, {{per_sec}}"),
            None => format!("  {{spinner}} {{pos}} {unit}, {{elapsed}}"),
        };
        let style = ProgressStyle::with_template(&template);
        let bar = length.map_or_else(ProgressBar::no_length, ProgressBar::new);
        Self {
            bar: bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())),
            start: Instant::now(),
        }
    }

    /// A line with the time.
    pub(crate) fn event(&self, who: &str, what: impl Display) {
        let time = self.start.elapsed().as_secs_f64();
        self.bar
            .suspend(|| println!("{time:7.1} s  {who:<8}  {what}"));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
