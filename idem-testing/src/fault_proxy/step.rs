//! Round trips, and what may be done to one.

/// What is done to one round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyFault {
    /// The connection is cut before the request reaches the server.
    CutRequest,
    /// The server executes the request to its end; then the connection is cut, and nothing of the
    /// reply is passed on.
    CutReply,
    /// About half of the reply is passed on, never all of it, then the connection is cut. The
    /// server finishes first.
    TruncateReply,
    /// The request is held back until its client is gone: the process that sent it is about to be
    /// killed.
    Hold,
    /// The server fails the request and says so, and the connection stays open.
    Fail(InjectedError),
}

/// An error that a server can answer at any time, because of other transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InjectedError {
    /// Another transaction came first.
    SerializationFailure,
    /// Two transactions waited for each other.
    Deadlock,
}

/// One round trip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which connection, counted from 1 over the life of the proxy.
    pub connection: u32,
    /// The SQL that it prepares or runs; `None` where there is none.
    pub sql: Option<String>,
    /// What it is for.
    pub kind: StepKind,
}

/// What a round trip is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// Greeting, authentication.
    Handshake,
    /// A statement is prepared, and not run.
    Prepare,
    /// A prepared statement is run.
    Execute,
    /// SQL is run as text.
    Query,
    /// Whether the connection is alive.
    Ping,
    /// Anything else.
    Other,
}
