//! A contract as a line of text, and back.

use std::fmt;

use super::emits::{self, Emitted};
use super::registered::Contract;
use super::word::{NONE, field, unspaced};

/// The names of a line's fields, in order, after the scope.
const FIELDS: [&str; 6] = [
    "key",
    "fingerprint",
    "duplicate",
    "error",
    "retention",
    "isolation",
];

/// The last word of the line of a batch handler.
const BATCH: &str = "batch";

/// One handler's contract. No field holds a blank.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line {
    pub(super) scope: String,
    pub(super) key: String,
    pub(super) fingerprint: String,
    pub(super) duplicate: String,
    pub(super) error: String,
    pub(super) retention: String,
    pub(super) isolation: String,
    pub(super) emits: Vec<Emitted>,
    pub(super) batch: bool,
}

impl Line {
    pub(super) fn of(contract: &Contract) -> Self {
        let key = contract.key.map(|key| {
            let key_type = (contract.key_type)();
            if contract.hashed {
                format!("{key}:hash({key_type})")
            } else {
                format!("{key}:{key_type}")
            }
        });
        Self {
            scope: unspaced(contract.scope),
            key: unspaced(key.as_deref().unwrap_or(NONE)),
            fingerprint: unspaced(contract.fingerprint.unwrap_or(NONE)),
            duplicate: unspaced(contract.duplicate),
            error: unspaced(contract.error),
            retention: unspaced(contract.retention),
            isolation: unspaced(contract.isolation),
            emits: Emitted::all(&(contract.emits)()),
            batch: contract.batch,
        }
    }

    /// Reads a line; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let scope = words.next().ok_or("it is empty")?.to_owned();
        let mut field = |name: &str| field(name, words.next());
        let line = Self {
            scope,
            key: field(FIELDS[0])?,
            fingerprint: field(FIELDS[1])?,
            duplicate: field(FIELDS[2])?,
            error: field(FIELDS[3])?,
            retention: field(FIELDS[4])?,
            isolation: field(FIELDS[5])?,
            emits: Vec::new(),
            batch: false,
        };
        let words: Vec<&str> = words.collect();
        let (events_of_line, batch) = match words.split_last() {
            Some((&BATCH, before)) => (before, true),
            _ => (&words[..], false),
        };
        let emits = events(events_of_line)?;
        Ok(Self {
            emits,
            batch,
            ..line
        })
    }

    /// The key's expression and its type; `None` for `#[outbox]` alone.
    pub(super) fn key(&self) -> Option<(&str, &str)> {
        if self.key == NONE {
            return None;
        }
        let bytes = self.key.as_bytes();
        let colon = (1..bytes.len().saturating_sub(1))
            .rev()
            .find(|&at| bytes[at] == b':' && bytes[at - 1] != b':' && bytes[at + 1] != b':');
        Some(colon.map_or((&self.key, "_"), |at| {
            (&self.key[..at], &self.key[at + 1..])
        }))
    }

    /// The type and the version of what is stored; `None` if nothing is.
    pub(super) fn replays(&self) -> Option<(&str, u32)> {
        let (name, version) = self.duplicate.strip_prefix("replay:")?.rsplit_once('@')?;
        Some((name, version.parse().ok()?))
    }

    /// Whether all but the scope is the same.
    pub(super) fn same_but_scope(&self, other: &Self) -> bool {
        let scope = self.scope.clone();
        Self {
            scope,
            ..other.clone()
        } == *self
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.scope)?;
        let values = [
            &self.key,
            &self.fingerprint,
            &self.duplicate,
            &self.error,
            &self.retention,
            &self.isolation,
        ];
        for (name, value) in FIELDS.iter().zip(values) {
            write!(f, " {name}={value}")?;
        }
        if self.emits.is_empty() {
            write!(f, " {}={NONE}", emits::FIELDS[0])?;
        }
        self.emits
            .iter()
            .try_for_each(|event| write!(f, " {event}"))?;
        if self.batch {
            write!(f, " {BATCH}")?;
        }
        Ok(())
    }
}

/// The events of a line: `emits=-`, or three words for each.
fn events(words: &[&str]) -> Result<Vec<Emitted>, String> {
    let [topic, kind, ordering_key] = emits::FIELDS;
    if words == ["emits=-"] {
        return Ok(Vec::new());
    }
    if words.is_empty() {
        return field(topic, None).map(|_| Vec::new());
    }
    words
        .chunks(emits::FIELDS.len())
        .map(|event| {
            let word = |at: usize| event.get(at).copied();
            Ok(Emitted {
                topic: field(topic, word(0))?,
                kind: field(kind, word(1))?,
                ordering_key: field(ordering_key, word(2))?,
            })
        })
        .collect()
}
