//! Dropping a future at an exact point of its run.

pub use idem_testing::drop_at_pending;
