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

pub use compare::compare;
pub use difference::Difference;
pub(crate) use difference::shortened;
pub use mask::{Mask, Nondeterminism};
pub use snapshot::{Column, ForeignKey, Nature, Snapshot, Table, Value, Window};
