//! The tests of the explorer, the same for each database.

use super::{
    AUDIT, BEGIN_COMMITS, CUT, Conn, DDL_COMMITS, Db, EXTEND, FAILED, IDENTITY, LOST, Pool,
    SUBSCRIPTIONS, database,
};

mod claims;
mod determinism;
mod duplicates;
mod look_alikes;
mod setup;
mod sound;
mod template;
mod transactions;
