//! Why a publisher can't be set up.

use std::fmt;

/// Why an [`HttpPublisher`](crate::HttpPublisher) can't be set up. Shows no values.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpPublisherError {
    /// Not a URL, or its scheme is not `http` or `https`.
    Url,
    /// The name or the value can't be that of an HTTP header.
    Header,
    /// The HTTP client can't be built, for this reason.
    Client(String),
}

impl fmt::Display for HttpPublisherError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => f.write_str(
                "not the URL of an HTTP endpoint, such as `http://127.0.0.1:8080/events`",
            ),
            Self::Header => f.write_str(
                "not an HTTP header: a name has letters, digits and `-`, a value visible ASCII characters",
            ),
            Self::Client(error) => write!(f, "the HTTP client can't be built: {error}"),
        }
    }
}

impl std::error::Error for HttpPublisherError {}
