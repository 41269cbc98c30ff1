//! The consumer, against real databases and a source that the test holds in its hands.
//!
//! `suite/` is compiled once for each database, against the module that includes it: the same
//! assertions for all. The doc of each test names what guards the law: without it the test fails.

#![allow(
    clippy::duplicate_mod,
    reason = "one suite, compiled for each database"
)]

mod mariadb;
mod postgres;
mod schedules;
mod sqlite;
mod stage;
mod telemetry;
