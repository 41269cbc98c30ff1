//! What databases hold, and whether two of them hold the same.

pub(crate) mod changes;
pub(crate) mod compare;
pub(crate) mod difference;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod mask;
pub(crate) mod snapshot;
pub(crate) mod timestamp;
pub(crate) mod token;
