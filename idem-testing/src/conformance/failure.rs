//! Why a case did not hold.

use super::target::Unsupported;

/// Why a case did not hold.
#[derive(Debug)]
pub(super) enum Failure {
    /// The publisher breaks what must hold.
    Violated(String),
    /// The target does not support it.
    LeftOut(String),
}

pub(super) type Result<T = ()> = std::result::Result<T, Failure>;

impl From<Unsupported> for Failure {
    fn from(Unsupported(reason): Unsupported) -> Self {
        Self::LeftOut(reason.to_owned())
    }
}

/// The publisher breaks what must hold: in this way.
pub(super) fn violated<T>(what: impl Into<String>) -> Result<T> {
    Err(Failure::Violated(what.into()))
}
