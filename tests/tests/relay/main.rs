//! The relay, against real databases and receivers that fail in every way.
//!
//! `suite/` is compiled once for each database, against the module that includes it: the same
//! assertions for all. The doc of each test names what guards the law: without it the test fails.

#![allow(
    clippy::duplicate_mod,
    reason = "one suite, compiled for each database"
)]

mod child;
mod json_lines;
mod mariadb;
mod pgbouncer;
mod postgres;
mod receivers;
mod sqlite;
