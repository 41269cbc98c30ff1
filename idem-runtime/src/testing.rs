//! Proof for handlers: every crash point visited.

#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(crate) mod wire;
