//! Values as literals of a statement.

/// A bytea literal that no setting of the session can misread. Without a cast, its type follows
/// from its place.
pub fn bytes(bytes: &[u8]) -> String {
    format!("E'\\\\x{}'", hex::encode(bytes))
}

pub(super) fn optional(value: Option<&[u8]>) -> String {
    value.map_or_else(|| "NULL".into(), bytes)
}

/// A text literal, whatever `standard_conforming_strings` says: E'' strings always read
/// backslashes.
pub fn text(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// The name of a schema.
pub(super) fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An array of what has this text, whatever its type.
pub(super) fn array(items: &[Option<String>]) -> String {
    let items = items.iter().map(|item| {
        item.as_ref().map_or_else(
            || "NULL".into(),
            |item| format!("\"{}\"", item.replace('\\', "\\\\").replace('"', "\\\"")),
        )
    });
    text(&format!("{{{}}}", items.collect::<Vec<_>>().join(",")))
}
