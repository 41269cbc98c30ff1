//! Values as they stand in a statement.

/// A bytea literal that no setting of the session can misread. Bare, its type follows from where it stands.
pub fn bytes(bytes: &[u8]) -> String {
    format!("E'\\\\x{}'", hex::encode(bytes))
}

pub(super) fn optional(value: Option<&[u8]>) -> String {
    value.map_or_else(|| "NULL".into(), bytes)
}

/// A text literal, whatever `standard_conforming_strings` says: E'' strings always read backslashes.
pub fn text(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
