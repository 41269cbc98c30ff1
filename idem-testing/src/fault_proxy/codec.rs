//! How a protocol is read from the bytes that pass, without any input or output.

#![cfg_attr(
    not(all(feature = "postgres", feature = "mysql")),
    allow(dead_code, reason = "not every protocol sends everything")
)]

use std::fmt;

use super::step::{InjectedError, StepKind};

/// How a protocol is read, for one connection.
///
/// A connection hands over one request at a time: the next one only when the reply to the one
/// before it is complete.
pub(super) trait Codec: Send {
    /// The next thing that the client has sent, and how many bytes it takes. `None`: more bytes are
    /// needed.
    fn sent(&mut self, bytes: &[u8]) -> Decoded<ClientMessage>;

    /// This request goes to the server now.
    fn expect(&mut self, request: &Request);

    /// The next message of the server, and how many bytes it takes. `None`: more bytes are needed.
    fn received(&mut self, bytes: &[u8]) -> Decoded<ServerMessage>;

    /// What to send in place of a request so that it fails as it could because of other
    /// transactions. `None` if no server would let it fail so.
    fn substitute(&self, request: &Request, error: InjectedError) -> Option<Substitute>;

    /// The SQLSTATE of the last error in the last reply.
    fn sqlstate(&self) -> Option<[u8; 5]>;

    /// How many bytes at the end of a reply show the state of the session.
    fn tail(&self) -> usize;

    /// Ends the session as the server would end it for a client that is gone.
    fn session_end(&self) -> SessionEnd;
}

pub(super) type Decoded<T> = Result<Option<(usize, T)>, ProtocolError>;

/// What a client sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClientMessage {
    /// The beginning of a request.
    Part,
    /// A request, whole.
    Request(Request),
    /// What the server does not answer.
    Unanswered(Vec<u8>),
    /// What is answered here, and never reaches the server.
    AnsweredHere(&'static [u8]),
    /// The client ends its session.
    Terminate,
}

/// What the server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) bytes: Vec<u8>,
    pub(super) kind: StepKind,
    pub(super) sql: Option<String>,
}

/// What a server sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ServerMessage {
    /// A part of a reply, or something that no request asked for.
    Message,
    /// The end of the reply.
    Last,
    /// A message that is passed on in another form.
    Edited(Vec<u8>),
}

/// How a request is made to fail.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Substitute {
    /// What the server executes; its reply is the client's.
    pub(super) instead: Request,
    /// The error that it then fails with. With another one the request failed by itself, earlier.
    pub(super) sqlstate: [u8; 5],
    /// What the server would have done by itself after this error.
    pub(super) undo: Option<Request>,
}

/// The end of a session.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SessionEnd {
    /// Ends the transaction. The server's own end of the session may come after the end of the
    /// connection.
    pub(super) reset: Option<Request>,
    pub(super) terminate: Vec<u8>,
}

/// What passes is not the protocol, or a part of it that the proxy does not support.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProtocolError(pub(super) &'static str);

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
pub(super) mod tests;
