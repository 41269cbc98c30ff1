//! What can be wrong with settings.

use std::fmt;

/// Why a publisher or a source can't be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RabbitMqError {
    /// It is not the URL of a RabbitMQ.
    Url,
    /// A name of an exchange or a queue is longer than the 255 bytes that the protocol has for it.
    Name,
}

impl fmt::Display for RabbitMqError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url => "not a URL of RabbitMQ: write `amqp://user:password@host:port/vhost`",
            Self::Name => "a name of an exchange or a queue has at most 255 bytes",
        })
    }
}

impl std::error::Error for RabbitMqError {}

/// The error's words without what a user has sent: of the broker's own text only what precedes it.
pub(crate) fn reason(error: &lapin::Error) -> String {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(error) => {
            format!("RabbitMQ says {}: {}", error.get_id(), error.get_message())
        }
        _ => error.to_string(),
    }
}

/// Whether the broker itself has refused, and would refuse again: no such queue or exchange, no
/// access, another declaration.
pub(crate) fn is_refusal(error: &lapin::Error) -> bool {
    const REFUSALS: [u16; 4] = [403, 404, 406, 530];
    match error.kind() {
        lapin::ErrorKind::ProtocolError(error) => REFUSALS.contains(&error.get_id()),
        _ => false,
    }
}
