//! Why something is not a CloudEvent.

use std::fmt;

/// How many characters of a name are shown. It comes from outside.
const SHOWN: usize = 40;

/// Why something is not an event that can be read. Shows no value and nothing of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not one JSON object. Where the reader stopped; lines and columns begin with 1.
    NotAnObject {
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// An attribute that each event must have is missing or empty.
    Missing(&'static str),
    /// An attribute is there more than once, so that two readers could take it for two things.
    Repeated(String),
    /// An attribute is not text: it is another kind of JSON value, or it is not UTF-8.
    NotText(String),
    /// `specversion` is not `1.0`.
    Version,
    /// `time` is not a timestamp of RFC 3339.
    Time,
    /// `data_base64` is not Base64.
    Base64,
    /// `data` and `data_base64` are both there.
    TwoPayloads,
    /// The `id` is not a UUID as this crate writes it: lower-case, with hyphens. Only a
    /// [`Message`](crate::Message) needs that. As a delivery the event has any ID.
    NotAnEventId,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject { line, column } => write!(
                f,
                "not a CloudEvent: not one JSON object, at line {line} column {column}"
            ),
            Self::Missing(name) => {
                write!(f, "not a CloudEvent: `{name}` is missing or empty")
            }
            Self::Repeated(name) => {
                write!(f, "not a CloudEvent: {} is there twice", shown(name))
            }
            Self::NotText(name) => write!(f, "not a CloudEvent: {} is not text", shown(name)),
            Self::Version => {
                f.write_str("a CloudEvent of another version: `specversion` must be `1.0`")
            }
            Self::Time => f.write_str("not a CloudEvent: `time` is not a timestamp of RFC 3339"),
            Self::Base64 => f.write_str("not a CloudEvent: `data_base64` is not Base64"),
            Self::TwoPayloads => {
                f.write_str("not a CloudEvent: it has both `data` and `data_base64`")
            }
            Self::NotAnEventId => f.write_str(
                "the `id` of the event is not a UUID in lower case with hyphens, as a `Message` needs it; a consumer can \
                 take any event as `Received`, whatever its ID",
            ),
        }
    }
}

impl std::error::Error for DecodeError {}

/// The beginning of a name, without what could break out of a line.
fn shown(name: &str) -> String {
    let start: String = name.chars().take(SHOWN).collect();
    let start = start.escape_debug();
    if name.chars().nth(SHOWN).is_some() {
        format!("`{start}...`")
    } else {
        format!("`{start}`")
    }
}
