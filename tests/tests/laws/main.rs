//! The laws of a call, each proven by the fault that breaks it.
//!
//! `suite/` is compiled once for each database, against the module that includes it: the same assertions
//! for all. Where a database can't keep a law, its module says which and why. The doc of each test names the cure
//! without which it fails. What the table in `../anomalies/` proves at every isolation level is not repeated here.

#![allow(
    clippy::disallowed_methods,
    reason = "a connection that a pool has just given out, or whose call has ended, has nothing queued"
)]
#![allow(clippy::duplicate_mod)]

mod mariadb;
mod postgres;
mod sqlite;
