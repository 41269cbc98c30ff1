//! A value that a duplicate would not get back.

use std::fmt;

/// A duplicate would not get this value back.
#[derive(Debug)]
pub struct NotFaithful {
    /// Its type.
    pub type_name: &'static str,
    /// Why it could not be written or read; `None` if it was read back as another value.
    pub cause: Option<serde_json::Error>,
}

impl fmt::Display for NotFaithful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What serde says of the cause may quote the value.
        let (type_name, what) = (self.type_name, what(self.cause.is_some()));
        write!(f, "the `{type_name}` that the handler returned {what}")
    }
}

/// What is wrong with the value.
pub(super) const fn what(unreadable: bool) -> &'static str {
    if unreadable {
        "can't be stored as JSON and read back"
    } else {
        "is another value when it is read back from JSON"
    }
}
