//! The file next to `Cargo.toml`: read, compared, written.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::change::Change;
use super::diff;
use super::line::Line;
use super::registered::Contract;

const ACCEPT: &str = "IDEM_LOCK=accept cargo test";

/// A handler of this binary.
#[derive(Clone, Debug)]
pub(super) struct Handler {
    pub(super) line: Line,
    /// `src/payments.rs:12`
    pub(super) place: String,
}

impl Handler {
    pub(super) fn of(contract: &Contract) -> Self {
        Self {
            line: Line::of(contract),
            place: format!("{}:{}", contract.file, contract.line),
        }
    }
}

/// What to do about a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Fail; write a missing file.
    Check,
    /// Fail, on a missing file too: nobody commits what is written there.
    CheckOnly,
    /// Write the file.
    Accept,
}

impl Mode {
    pub(super) fn of(ci: Option<&OsStr>, lock: Option<&OsStr>) -> Result<Self, String> {
        match lock {
            Some(value) if value == "accept" => Ok(Self::Accept),
            Some(value) if !value.is_empty() => Err(format!(
                "`IDEM_LOCK={}` means nothing; `{ACCEPT}` accepts what changed, and without the variable the test compares",
                value.display(),
            )),
            _ if ci.is_some_and(|value| !value.is_empty() && value != "false") => {
                Ok(Self::CheckOnly)
            }
            _ => Ok(Self::Check),
        }
    }
}

/// Compares the handlers with the file. The error is the whole message for a person.
pub(super) fn check(
    package: &str,
    file: &Path,
    mut handlers: Vec<Handler>,
    mode: Mode,
) -> Result<(), String> {
    if handlers.is_empty() {
        return Err(format!(
            "no handler of the package `{package}` is linked into this test's binary, so there is nothing to compare with {}.\n\
             An integration test needs `use {} as _;`; the docs of `contracts!` say where the test belongs.",
            file.display(),
            package.replace('-', "_"),
        ));
    }
    handlers.sort_by(|one, other| one.line.cmp(&other.line));
    if mode == Mode::Accept {
        return write(file, &handlers);
    }
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && mode == Mode::Check => {
            return write(file, &handlers);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(format!(
                "{} is missing. Run `cargo test` where `CI` is not set, which writes it, and commit it.",
                file.display(),
            ));
        }
        Err(error) => return Err(format!("{} can't be read: {error}", file.display())),
    };
    let locked = parse(&text).map_err(|wrong| {
        format!(
            "{}, {wrong}\nRestore the file from version control, or write it anew and review its diff: `{ACCEPT}`.",
            file.display(),
        )
    })?;
    let differences = compare(locked, handlers);
    if differences.is_empty() {
        Ok(())
    } else {
        Err(report(package, file, &differences))
    }
}

fn write(file: &Path, handlers: &[Handler]) -> Result<(), String> {
    let mut text = String::new();
    for handler in handlers {
        let _ = writeln!(text, "{}", handler.line);
    }
    if std::fs::read_to_string(file).is_ok_and(|there| there == text) {
        return Ok(());
    }
    std::fs::write(file, text)
        .map_err(|error| format!("{} can't be written: {error}", file.display()))
}

/// The lines of a lock file. The error names the first line that can't be read.
pub(super) fn parse(text: &str) -> Result<Vec<Line>, String> {
    let mut lines: BTreeMap<String, (usize, Line)> = BTreeMap::new();
    for (index, text) in text.lines().enumerate() {
        let number = index + 1;
        if text.trim().is_empty() {
            continue;
        }
        let line = Line::parse(text).map_err(|wrong| {
            if is_conflict_marker(text) {
                format!(
                    "line {number}: a merge left its conflict markers. Take both sides' handlers into the code, then accept."
                )
            } else {
                format!("line {number} is not a contract: {wrong}\n  {text}")
            }
        })?;
        if let Some((first, _)) = lines.get(&line.scope) {
            return Err(format!(
                "lines {first} and {number} are both of the scope `{}`.",
                line.scope
            ));
        }
        lines.insert(line.scope.clone(), (number, line));
    }
    Ok(lines.into_values().map(|(_, line)| line).collect())
}

fn is_conflict_marker(text: &str) -> bool {
    ["<<<<<<<", "|||||||", "=======", ">>>>>>>"]
        .iter()
        .any(|marker| text.starts_with(marker))
}

/// What differs in one handler.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    scope: String,
    place: Option<String>,
    changes: Vec<Change>,
}

pub(super) fn compare(locked: Vec<Line>, handlers: Vec<Handler>) -> Vec<Difference> {
    let mut removed: BTreeMap<String, Line> = locked
        .into_iter()
        .map(|line| (line.scope.clone(), line))
        .collect();
    let (kept, mut added): (Vec<_>, Vec<_>) = handlers
        .into_iter()
        .map(|handler| (removed.remove(&handler.line.scope), handler))
        .partition(|(old, _)| old.is_some());
    for likeness in [is_moved, is_same, is_edited] {
        for (old, handler) in added.iter_mut().filter(|(old, _)| old.is_none()) {
            let scope = removed
                .values()
                .find(|old| likeness(old, &handler.line))
                .map(|old| old.scope.clone());
            *old = scope.and_then(|scope| removed.remove(&scope));
        }
    }
    let mut differences: Vec<Difference> = kept
        .into_iter()
        .chain(added)
        .map(|(old, Handler { line, place })| Difference {
            changes: old.map_or_else(
                || vec![diff::added(&line)],
                |old| diff::changes(&old, &line),
            ),
            scope: line.scope,
            place: Some(place),
        })
        .filter(|difference| !difference.changes.is_empty())
        .collect();
    differences.extend(removed.into_values().map(|line| Difference {
        changes: vec![diff::removed(&line)],
        scope: line.scope,
        place: None,
    }));
    differences.sort_by(|one, other| one.scope.cmp(&other.scope));
    differences
}

/// The same handler in another module.
fn is_moved(old: &Line, new: &Line) -> bool {
    old.same_but_scope(new) && function(old) == function(new)
}

/// The same handler under another name.
fn is_same(old: &Line, new: &Line) -> bool {
    old.same_but_scope(new)
}

/// A handler that moved and changed at once.
fn is_edited(old: &Line, new: &Line) -> bool {
    old.key == new.key && function(old) == function(new)
}

fn function(line: &Line) -> &str {
    line.scope.rsplit(['.', ':']).next().unwrap_or(&line.scope)
}

pub(super) fn report(package: &str, file: &Path, differences: &[Difference]) -> String {
    let mut text = format!(
        "The handlers of `{package}` are not what {} says. In production this means:\n",
        file.display(),
    );
    for Difference {
        scope,
        place,
        changes,
    } in differences
    {
        let _ = match place {
            Some(place) => write!(text, "\n{scope} ({place})\n"),
            None => write!(text, "\n{scope}\n"),
        };
        for Change { what, so } in changes {
            let _ = write!(text, "  {what}\n    {so}\n");
        }
    }
    let _ = write!(
        text,
        "\nChange the code back, or accept all of it: `{ACCEPT}`, and commit {}.",
        file.file_name().unwrap_or_default().display(),
    );
    text
}

#[cfg(test)]
mod tests;
