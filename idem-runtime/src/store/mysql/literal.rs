//! Values as literals of a statement.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// From here on a literal's length counts more than what the server spends on a function.
const LONG: usize = 4 * 1024;

pub(super) fn bytes(bytes: &[u8]) -> String {
    if bytes.len() < LONG {
        format!("X'{}'", hex::encode(bytes))
    } else {
        format!("FROM_BASE64('{}')", STANDARD.encode(bytes))
    }
}

pub(super) fn optional(value: Option<&[u8]>) -> String {
    value.map_or_else(|| "NULL".into(), bytes)
}

/// With its character set: names in the catalog are compared by its collation, and patterns, too.
pub fn text(text: &str) -> String {
    if text.len() < LONG {
        format!("_utf8mb4 {}", bytes(text.as_bytes()))
    } else {
        format!("CONVERT({} USING utf8mb4)", bytes(text.as_bytes()))
    }
}
