//! How far a part has come.

use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

pub(super) fn progress(part: &'static str, steps: usize) -> Result<ProgressBar> {
    let style = "{prefix} {wide_bar} {pos}/{len} {elapsed} {msg:30}";
    let progress = ProgressBar::new(steps as u64)
        .with_style(ProgressStyle::with_template(style)?)
        .with_prefix(part);
    progress.enable_steady_tick(Duration::from_millis(500));
    Ok(progress)
}
