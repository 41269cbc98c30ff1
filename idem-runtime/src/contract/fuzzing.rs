//! See `crate::fuzzing`.

use std::path::Path;

use super::emits::Emitted;
use super::line::Line;
use super::lock::{Handler, compare, parse, report};
use super::word::unspaced;

/// The fields of a line; the events have the topics of `emits`, parted by commas, and one type. The
/// last one is `batch` for a batch handler.
type Fields<'a> = [&'a str; 11];

fn line(fields: Fields<'_>) -> Line {
    let [
        scope,
        key,
        fingerprint,
        duplicate,
        error,
        retention,
        isolation,
        emits,
        kind,
        ordering_key,
        batch,
    ] = fields.map(unspaced);
    let topics = emits.split(',').filter(|topic| !topic.is_empty());
    let mut events: Vec<Emitted> = topics
        .map(|topic| Emitted {
            topic: topic.to_owned(),
            kind: kind.clone(),
            ordering_key: ordering_key.clone(),
        })
        .collect();
    events.sort_unstable();
    events.dedup();
    Line {
        scope,
        key,
        fingerprint,
        duplicate,
        error,
        retention,
        isolation,
        emits: events,
        batch: batch == "batch",
    }
}

/// A lock file's line of what an expansion registers.
pub fn written(fields: Fields<'_>) -> String {
    line(fields).to_string()
}

/// A lock file's text, read and written again.
///
/// # Errors
/// What is wrong with it.
pub fn lines(text: &str) -> Result<Vec<String>, String> {
    let lines = parse(text)?;
    Ok(lines.iter().map(ToString::to_string).collect())
}

/// What differs between a lock file and what the code registers: how much, and the report.
///
/// # Errors
/// What is wrong with the lock file.
pub fn differences(locked: &str, registered: &[Fields<'_>]) -> Result<(usize, String), String> {
    let handlers = registered.iter().map(|&fields| Handler {
        line: line(fields),
        place: "src/lib.rs:1".into(),
    });
    let differences = compare(parse(locked)?, handlers.collect());
    let report = report("package", Path::new("idem.lock"), &differences);
    Ok((differences.len(), report))
}
