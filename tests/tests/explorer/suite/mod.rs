//! The tests of the explorer, the same for each database.

use super::{
    AUDIT, BEGIN_COMMITS, CUT, Conn, DDL_COMMITS, Db, EXTEND, FAILED, IDENTITY, LOST, Pool,
    SUBSCRIPTIONS, VIEW, database,
};

mod batches;
mod claims;
mod determinism;
mod duplicates;
mod generated_keys;
mod look_alikes;
mod setup;
mod sound;
pub(crate) mod template;
mod transactions;
