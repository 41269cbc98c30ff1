//! What the figures depend on and the code does not decide.

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::stats::quantile;

/// One line: cores, processor, how long the disk takes to flush, the load.
pub(crate) fn describe() -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    Ok(format!(
        "{cores} cores, {processor}; one page written and flushed in {} takes {:.0} µs (median); load {load}",
        std::env::temp_dir().display(),
        flush_micros()?,
    ))
}

fn flush_micros() -> Result<f64> {
    let path = std::env::temp_dir().join(format!("idem-bench-{}", std::process::id()));
    let mut file =
        File::create(&path).with_context(|| format!("can't write {}", path.display()))?;
    let page = [7_u8; 8192];
    file.write_all(&page.repeat(64))?;
    file.sync_all()?;
    let mut times = Vec::new();
    for at in 0..64 {
        file.seek(SeekFrom::Start(at * 8192))?;
        let start = Instant::now();
        file.write_all(&page)?;
        file.sync_data()?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    fs::remove_file(&path)?;
    quantile(times, 0.5).context("64 flushes were measured")
}
