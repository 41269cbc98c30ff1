//! Errors for the tests of what errors mean.

use std::borrow::Cow;
use std::fmt;

use sqlx::error::{DatabaseError, ErrorKind};

/// An error as a server tells it. The driver's own type has no constructor.
#[derive(Debug)]
struct StubError(&'static str);

impl fmt::Display for StubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for StubError {}

impl DatabaseError for StubError {
    fn message(&self) -> &str {
        self.0
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.0.into())
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

/// An error with this code.
pub(crate) fn stub_error(code: &'static str) -> sqlx::Error {
    sqlx::Error::Database(Box::new(StubError(code)))
}

/// Errors without a code, and whether one of them leaves a statement unknown.
pub(super) const BROKEN: [(fn() -> sqlx::Error, bool); 5] = [
    (
        || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()),
        true,
    ),
    (|| sqlx::Error::Protocol("cut".into()), true),
    (|| sqlx::Error::WorkerCrashed, true),
    (|| sqlx::Error::PoolTimedOut, false),
    (|| sqlx::Error::RowNotFound, false),
];
