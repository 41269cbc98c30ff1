//! The crash-point explorer.

mod snapshot;

pub use snapshot::{Column, ForeignKey, Nature, Snapshot, Table, Value, Window};
