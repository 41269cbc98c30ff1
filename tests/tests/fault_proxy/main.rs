//! The proxy of `idem-testing` between sqlx and real servers.
//!
//! The files of `suite/` are compiled once for each database, against the module that includes
//! them: the same assertions for both.

#![allow(
    clippy::disallowed_methods,
    reason = "a connection that a pool has just given out, or whose call has ended, has nothing queued"
)]
#![allow(clippy::duplicate_mod)]

mod mariadb;
mod pgbouncer;
mod postgres;
