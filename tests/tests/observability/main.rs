//! What an operator sees of each call, and what never shows: keys, payloads, results, errors' texts.
//!
//! `outcomes.rs` is compiled once for each database, against the module that includes it.

#![allow(
    clippy::duplicate_mod,
    reason = "the same assertions for each database"
)]

mod capture;
mod mariadb;
mod postgres;
mod sqlite;
mod traces;
