//! What a difference between two contracts does to messages in production: one function a rule.

use std::cmp::Ordering;

use super::change::{Change, change};
use super::emits::{emits, topics};
use super::key_type::Kept;
use super::line::Line;
use super::word::NONE;

/// The differences between two contracts of one handler.
pub(super) fn changes(old: &Line, new: &Line) -> Vec<Change> {
    let mut changes: Vec<Change> = [
        scope(old, new),
        key(old, new),
        fingerprint(old, new),
        duplicate(old, new),
        error(old, new),
        retention(old, new),
        isolation(old, new),
        batch(old, new),
    ]
    .into_iter()
    .flatten()
    .collect();
    changes.extend(emits(&old.emits, &new.emits));
    changes
}

pub(super) fn added(new: &Line) -> Change {
    let so = if new.key().is_some() {
        "It remembers nothing yet: a message that another scope, or code without a key, has handled runs once more here."
    } else {
        "It has no key: every delivery of it runs."
    };
    change("a new handler", so)
}

pub(super) fn removed(old: &Line) -> Change {
    let scope = &old.scope;
    let mut so = if old.key().is_some() {
        format!(
            "If it was renamed, pin its scope, `scope = \"{scope}\"`, or messages already handled would run again. If it is \
             still there, it is not linked into this test's binary: the docs of `contracts!` say where the test belongs."
        )
    } else {
        "If it is still there, it is not linked into this test's binary: the docs of `contracts!` say where the test belongs."
            .to_owned()
    };
    if !old.emits.is_empty() {
        so = format!("It no longer publishes {}. {so}", topics(&old.emits));
    }
    change("no handler has this scope any more", so)
}

fn scope(old: &Line, new: &Line) -> Option<Change> {
    let (from, to) = (&old.scope, &new.scope);
    if from == to {
        return None;
    }
    let so = if old.key().is_some() {
        format!(
            "Keys are remembered by scope: messages already handled would run again. Pin the old one: `scope = \"{from}\"`. If \
             it is another handler, accept."
        )
    } else {
        "It keeps no keys: only its name in logs and metrics changes.".to_owned()
    };
    Some(change(format!("scope renamed: was `{from}`"), so))
}

fn key(old: &Line, new: &Line) -> Option<Change> {
    if old.key == new.key {
        return None;
    }
    Some(match (old.key(), new.key()) {
        (None, Some(_)) => change(
            format!("key: was none, is `{}`", new.key),
            "From now on a redelivery of a message is a duplicate. Messages already handled are not remembered: they would run \
             once more.",
        ),
        (_, None) => change(
            format!("key: was `{}`, now there is none", old.key),
            "Every redelivery would run again.",
        ),
        (Some((old, old_type)), Some((new, new_type))) if old == new => change(
            format!("key type: `{old}` was `{old_type}`, is `{new_type}`"),
            retyped(old_type, new_type),
        ),
        (Some((old, old_type)), Some((new, new_type))) => change(
            format!("key: was `{old}` (`{old_type}`), is `{new}` (`{new_type}`)"),
            if Kept::of(old_type, new_type) == Kept::Nothing {
                "No stored key is found again: messages already handled would run again.".to_owned()
            } else {
                "Messages already handled would run again, unless both expressions have the same value for every message. \
                 While a rolling deploy lasts, one message may run under each."
                    .to_owned()
            },
        ),
    })
}

fn retyped(old: &str, new: &str) -> String {
    match Kept::of(old, new) {
        Kept::All => "Stored keys stay valid: both types are stored alike. Accept.".into(),
        Kept::Canonical => format!(
            "Stored keys stay valid where the text is canonical, as `to_string` writes it (a UUID in lower case with hyphens, an \
             integer without a plus or leading zeros); any other text is another key as `{new}` than as `{old}`, and its \
             message would run again."
        ),
        Kept::Unknown => {
            "Messages already handled would run again, unless both types write the same value in the same way (a newtype with \
             `#[derive(Key)]` does as what it wraps)."
                .into()
        }
        Kept::Nothing => "No stored key is found again: messages already handled would run again.".into(),
    }
}

fn fingerprint(old: &Line, new: &Line) -> Option<Change> {
    let (old, new) = (&*old.fingerprint, &*new.fingerprint);
    if old == new {
        return None;
    }
    let so = match (old, new) {
        (NONE, _) => {
            "Two different messages under one ID are noticed from now on. Keys stored before hold no fingerprint and fit any message."
        }
        (_, NONE) => {
            "Two different messages under one ID are no longer noticed: the second is acknowledged with the result of the first."
        }
        _ => {
            "A redelivery of a message already handled would fail as `FingerprintMismatch`, unless both expressions have the same \
             value for every message."
        }
    };
    Some(change(format!("fingerprint: was `{old}`, is `{new}`"), so))
}

fn duplicate(old: &Line, new: &Line) -> Option<Change> {
    if old.duplicate == new.duplicate {
        return None;
    }
    let modes = format!(
        "on_duplicate: was `{}`, is `{}`",
        old.duplicate, new.duplicate
    );
    let (was, is) = match (old.replays(), new.replays()) {
        (Some(was), Some(is)) => (was, is),
        (Some(_), None) => {
            return Some(change(
                modes,
                "A duplicate gets no result any more, not even one that is stored.",
            ));
        }
        (None, Some(_)) if old.duplicate == "skip" => {
            return Some(change(
                modes,
                "Nothing is stored for messages already handled: their redeliveries would be `ResultUndecodable`, a dead letter, \
                 and never run again.",
            ));
        }
        _ => {
            return Some(change(
                modes,
                "There is no result of an earlier delivery to compare with.",
            ));
        }
    };
    let ((old, old_version), (new, new_version)) = (was, is);
    let undecodable = "A redelivery of a message already handled would be `ResultUndecodable`, a dead letter, and never runs again.";
    Some(match new_version.cmp(&old_version) {
        Ordering::Equal => change(
            format!("output: was `{old}`, is `{new}`, both as result_version {new_version}"),
            format!(
                "Results stored as `{old}` would be read as `{new}`: where they fit by accident, a duplicate gets a wrong value. \
                 Say `result_version = {}`; after a rename alone, accept.",
                old_version.saturating_add(1),
            ),
        ),
        Ordering::Less => change(
            format!("result_version: was {old_version}, is {new_version}"),
            format!("A version that was used stands for another shape. {undecodable}"),
        ),
        Ordering::Greater if old == new => change(
            format!("result_version: was {old_version}, is {new_version}"),
            format!("{undecodable} Accept if the shape of `{new}` changed."),
        ),
        Ordering::Greater => change(
            format!(
                "output: was `{old}` as result_version {old_version}, is `{new}` as {new_version}"
            ),
            format!("{undecodable} Accept: the new version keeps the two apart."),
        ),
    })
}

fn error(old: &Line, new: &Line) -> Option<Change> {
    let (old, new) = (&*old.error, &*new.error);
    if old == new {
        return None;
    }
    let so = match new {
        "record" => {
            "A permanent error is stored from now on, and a redelivery gets it instead of another try."
        }
        _ => {
            "Errors stored before can't be read any more: redeliveries of those messages would be `ResultUndecodable`. From now \
             on each redelivery tries again."
        }
    };
    Some(change(format!("on_error: was `{old}`, is `{new}`"), so))
}

fn retention(old: &Line, new: &Line) -> Option<Change> {
    let (old, new) = (&*old.retention, &*new.retention);
    if old == new {
        return None;
    }
    let so = match (millis(old), millis(new)) {
        (Some(was), Some(is)) if is < was => format!(
            "Shortened: a message that is delivered again more than {new} after it was handled would run again. It must outlast \
             the longest redelivery: the broker's retention, a replay of dead letters, a restored backup."
        ),
        (Some(was), Some(is)) if is > was => {
            "Lengthened: keys stored from now on stay longer, and take more rows; those already stored expire when they would have."
                .into()
        }
        (Some(_), Some(_)) => "The same time in other words. Accept.".into(),
        _ => "Keys stored from now on are kept for another time.".into(),
    };
    Some(change(format!("retention: was {old}, is {new}"), so))
}

fn isolation(old: &Line, new: &Line) -> Option<Change> {
    let (old, new) = (&*old.isolation, &*new.isolation);
    if old == new {
        return None;
    }
    let so = match (old, new) {
        (_, NONE) => {
            "The handler runs at the database's default level: what it read may have changed by its COMMIT, if it counts on a \
             condition that spans several rows."
        }
        ("serializable", _) => {
            "Weaker: two transactions that read what the other one writes may both commit."
        }
        _ => {
            "Stronger: more transactions are aborted and run again, and a call in a transaction of its caller's at a weaker level \
             is refused."
        }
    };
    Some(change(format!("isolation: was `{old}`, is `{new}`"), so))
}

fn batch(old: &Line, new: &Line) -> Option<Change> {
    let (what, so) = match (old.batch, new.batch) {
        (false, true) => (
            "batch: took one event, takes many",
            "If a batch fails, nothing of it is committed, and a consumer tries each half of it again, until the event that \
             fails stands alone: its neighbours run more than once.",
        ),
        (true, false) => (
            "batch: took many events, takes one",
            "Each event runs in a body of its own.",
        ),
        _ => return None,
    };
    let so = format!(
        "{so} Stored keys and results stay valid, for the old code as for the new one. Accept."
    );
    Some(change(what, so))
}

/// Milliseconds; `forever` is longer than any. `None` for what is no duration: a handler without a
/// key keeps nothing.
fn millis(text: &str) -> Option<u64> {
    if text == "forever" {
        return Some(u64::MAX);
    }
    let (number, unit) = text.split_at(text.find(|char: char| !char.is_ascii_digit())?);
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests;
