//! The words that a lock line is made of: no blank in any of them.

/// The word for "none".
pub(super) const NONE: &str = "-";

/// The value of a word that reads `name=value`.
pub(super) fn field(name: &str, word: Option<&str>) -> Result<String, String> {
    let word = word.ok_or_else(|| format!("`{name}=` is missing at its end"))?;
    match word.split_once('=') {
        Some((found, "")) if found == name => Err(format!("`{name}=` has no value")),
        Some((found, value)) if found == name => Ok(value.to_owned()),
        _ => Err(format!("`{name}=` should stand where `{word}` stands")),
    }
}

/// An expansion leaves blanks only where they mean something: between words and in literals.
pub(super) fn unspaced(text: &str) -> String {
    text.replace(char::is_whitespace, "␣")
}
