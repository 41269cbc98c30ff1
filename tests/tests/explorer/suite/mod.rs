//! The tests of the explorer, the same for each database.

use super::{BEGIN_COMMITS, CUT, Conn, DDL_COMMITS, Db, FAILED, IDENTITY, LOST, Pool, database};

mod claims;
mod determinism;
mod generated_keys;
mod setup;
mod sound;
mod template;
mod transactions;
