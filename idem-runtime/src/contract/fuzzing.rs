//! See `crate::fuzzing`.

use std::path::Path;

use super::line::{Line, unspaced};
use super::lock::{Handler, compare, parse, report};

fn line([scope, key, fingerprint, duplicate, error, retention, emits]: [&str; 7]) -> Line {
    Line {
        scope: unspaced(scope),
        key: unspaced(key),
        fingerprint: unspaced(fingerprint),
        duplicate: unspaced(duplicate),
        error: unspaced(error),
        retention: unspaced(retention),
        emits: unspaced(emits),
    }
}

/// A lock file's line of what an expansion registers.
pub fn written(fields: [&str; 7]) -> String {
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
pub fn differences(locked: &str, registered: &[[&str; 7]]) -> Result<(usize, String), String> {
    let handlers = registered.iter().map(|&fields| Handler {
        line: line(fields),
        place: "src/lib.rs:1".into(),
    });
    let differences = compare(parse(locked)?, handlers.collect());
    let report = report("package", Path::new("idem.lock"), &differences);
    Ok((differences.len(), report))
}
