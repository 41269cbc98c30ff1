//! Why a case did not hold.

use super::target::Unsupported;

/// Why a case did not hold.
#[derive(Debug)]
pub(super) enum Failure {
    /// The publisher breaks the law.
    Violated(String),
    /// It could not be played.
    LeftOut(String),
}

pub(super) type Result<T = ()> = std::result::Result<T, Failure>;

impl From<Unsupported> for Failure {
    fn from(Unsupported(reason): Unsupported) -> Self {
        Self::LeftOut(reason.to_owned())
    }
}

/// The law is broken.
pub(super) fn violated<T>(what: impl Into<String>) -> Result<T> {
    Err(Failure::Violated(what.into()))
}
