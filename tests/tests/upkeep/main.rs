//! What keeps the tables small and says what waits.
//!
//! `suite.rs` is compiled once for each database, against the module that includes it.

#![allow(
    clippy::duplicate_mod,
    reason = "the same assertions for each database"
)]

mod mariadb;
mod postgres;
mod sqlite;
