//! The crash-point explorer.

#![cfg_attr(
    not(any(feature = "postgres", feature = "mysql", feature = "sqlite")),
    allow(dead_code, reason = "no database is on")
)]

mod changes;
mod compare;
mod difference;
#[cfg(test)]
mod fixture;
mod mask;
mod moment;
mod snapshot;
mod token;
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(crate) mod wire;

#[doc(hidden)]
pub use compare::compare;
#[doc(hidden)]
pub use difference::Difference;
pub(crate) use difference::shortened;
#[doc(hidden)]
pub use mask::{Mask, Nondeterminism};
#[doc(hidden)]
pub use snapshot::{Column, ForeignKey, Nature, Snapshot, Table, Value, Window};
