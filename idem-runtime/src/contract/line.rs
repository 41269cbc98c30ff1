//! A contract as a line of text, and back.

use std::fmt;

use super::Contract;

/// The names of a line's fields, in order, after the scope.
const FIELDS: [&str; 6] = [
    "key",
    "fingerprint",
    "duplicate",
    "error",
    "retention",
    "emits",
];

/// What stands for "none".
pub(super) const NONE: &str = "-";

/// One handler's contract. No field holds a blank.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line {
    pub(super) scope: String,
    pub(super) key: String,
    pub(super) fingerprint: String,
    pub(super) duplicate: String,
    pub(super) error: String,
    pub(super) retention: String,
    pub(super) emits: String,
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
        let mut topics = (contract.emits)();
        topics.sort_unstable();
        topics.dedup();
        Self {
            scope: unspaced(contract.scope),
            key: unspaced(key.as_deref().unwrap_or(NONE)),
            fingerprint: unspaced(contract.fingerprint.unwrap_or(NONE)),
            duplicate: unspaced(contract.duplicate),
            error: unspaced(contract.error),
            retention: unspaced(contract.retention),
            emits: if topics.is_empty() {
                NONE.to_owned()
            } else {
                unspaced(&topics.join(","))
            },
        }
    }

    /// Reads a line; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let scope = words.next().ok_or("it is empty")?.to_owned();
        let mut field = |name: &str| {
            let word = words
                .next()
                .ok_or_else(|| format!("`{name}=` is missing at its end"))?;
            match word.split_once('=') {
                Some((found, "")) if found == name => Err(format!("`{name}=` has no value")),
                Some((found, value)) if found == name => Ok(value.to_owned()),
                _ => Err(format!("`{name}=` should stand where `{word}` stands")),
            }
        };
        let line = Self {
            scope,
            key: field(FIELDS[0])?,
            fingerprint: field(FIELDS[1])?,
            duplicate: field(FIELDS[2])?,
            error: field(FIELDS[3])?,
            retention: field(FIELDS[4])?,
            emits: field(FIELDS[5])?,
        };
        match words.next() {
            Some(word) => Err(format!("`{word}` is one word too many")),
            None => Ok(line),
        }
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

    pub(super) fn topics(&self) -> Vec<&str> {
        if self.emits == NONE {
            Vec::new()
        } else {
            self.emits.split(',').collect()
        }
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
            &self.emits,
        ];
        for (name, value) in FIELDS.iter().zip(values) {
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}

/// An expansion leaves blanks only where they mean something: between words and in literals.
pub(super) fn unspaced(text: &str) -> String {
    text.replace(char::is_whitespace, "␣")
}
