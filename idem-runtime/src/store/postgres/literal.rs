//! Values as literals of a statement.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A bytea literal that no setting of the session can misread. Without a cast, its type follows
/// from its place.
pub fn bytes(bytes: &[u8]) -> String {
    format!("E'\\\\x{}'", hex::encode(bytes))
}

pub(super) fn optional(value: Option<&[u8]>) -> String {
    value.map_or_else(|| "NULL".into(), bytes)
}

/// A text literal, whatever `standard_conforming_strings` says: E'' strings always read backslashes.
/// It is ASCII, so that a handler may set another `client_encoding`.
pub fn text(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 3);
    literal.push_str("E'");
    for letter in text.chars() {
        match letter {
            '\\' => literal.push_str("\\\\"),
            '\'' => literal.push_str("''"),
            ascii if ascii.is_ascii() => literal.push(ascii),
            other => {
                let _ = write!(literal, "\\U{:08X}", u32::from(other));
            }
        }
    }
    literal.push('\'');
    literal
}

/// The name of a schema.
pub(super) fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An array of what has this text, whatever its type.
pub(super) fn array<'a>(items: impl Iterator<Item = Option<Cow<'a, str>>>) -> String {
    let items = items.map(|item| {
        item.map_or_else(
            || "NULL".into(),
            |item| format!("\"{}\"", item.replace('\\', "\\\\").replace('"', "\\\"")),
        )
    });
    text(&format!("{{{}}}", items.collect::<Vec<_>>().join(",")))
}

/// An array of bytea.
pub(super) fn bytes_array<'a>(items: impl Iterator<Item = Option<&'a [u8]>>) -> String {
    let mut literal = String::from("E'{");
    for (index, item) in items.enumerate() {
        if index > 0 {
            literal.push(',');
        }
        match item {
            // A backslash for the value, doubled for the array and once more for the literal.
            Some(item) => {
                literal.push_str("\"\\\\\\\\x");
                literal.push_str(&hex::encode(item));
                literal.push('"');
            }
            None => literal.push_str("NULL"),
        }
    }
    literal.push_str("}'");
    literal
}
