//! Statements that fail as the server does when transactions conflict.

/// What the server says when another transaction came first.
pub(crate) const SERIALIZATION_FAILURE: &str = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001', \
    MESSAGE = 'could not serialize access due to concurrent update'; END $$";

/// What the server says to one of two transactions that wait for each other.
pub(crate) const DEADLOCK: &str =
    "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01', MESSAGE = 'deadlock detected'; END $$";

pub(crate) const ROLLBACK: &str = "ROLLBACK";
