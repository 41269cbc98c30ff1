//! Values as they stand in a statement.

pub(super) fn bytes(bytes: &[u8]) -> String {
    format!("X'{}'", hex::encode(bytes))
}

pub(super) fn optional(value: Option<&[u8]>) -> String {
    value.map_or_else(|| "NULL".into(), bytes)
}

/// With its character set: names in the catalog are compared by its collation, and patterns, too.
pub fn text(text: &str) -> String {
    format!("_utf8mb4 {}", bytes(text.as_bytes()))
}
