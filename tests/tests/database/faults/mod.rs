//! The laws of a call, each proven by the fault that breaks it.
//!
//! The doc of each test names what guards the law: without it the test fails. What the table in
//! `../../anomalies/` proves at every isolation level is not repeated here.

#![allow(
    clippy::disallowed_methods,
    reason = "a connection that a pool has just given out, or whose call has ended, has nothing queued"
)]
mod mariadb;
mod postgres;
mod sqlite;
