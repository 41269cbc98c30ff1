//! What can be wrong with settings.

use std::fmt;

/// Why a publisher or a source can't be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NatsError {
    /// It is not the URL of a NATS server.
    Url,
    /// It can't be the name of a stream or a durable consumer.
    Name,
    /// It can't be a subject.
    Subject,
}

impl fmt::Display for NatsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url => {
                "not a URL of NATS: write `nats://user:password@host:port`, several with commas between them"
            }
            Self::Name => {
                "a name of a stream or a durable consumer has 1 to 255 visible ASCII characters other than `.`, `*`, `>`, `/` and `\\`"
            }
            Self::Subject => {
                "a subject is words with dots between them, without blanks; `*` and `>` are words of their own where wildcards may be"
            }
        })
    }
}

impl std::error::Error for NatsError {}
