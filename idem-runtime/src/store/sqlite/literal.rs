//! Values as literals of a statement.

/// Microseconds since 1970.
pub(super) const NOW: &str =
    "(strftime('%s', 'now') * 1000000 + substr(strftime('%f', 'now'), 4) * 1000)";

/// A blob.
pub fn bytes(bytes: &[u8]) -> String {
    format!("X'{}'", hex::encode(bytes))
}

pub(super) fn optional(value: Option<&[u8]>) -> String {
    value.map_or_else(|| "NULL".into(), bytes)
}

pub(super) fn text(text: &str) -> String {
    format!("CAST({} AS TEXT)", bytes(text.as_bytes()))
}
