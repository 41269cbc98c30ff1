//! The testing kit's proxy between sqlx and real servers.
//!
//! `suite.rs` is compiled once for each database, against the module that includes it: the same assertions for both.

#![allow(clippy::duplicate_mod)]

mod mariadb;
mod pgbouncer;
mod postgres;
