//! What an operator sees of each call, and what never shows: keys, payloads, results, errors'
//! texts.
//!
//! `handlers.rs` and `outcomes.rs` are compiled once for each database, against the module that
//! includes them.

#![allow(
    clippy::duplicate_mod,
    reason = "the same assertions for each database"
)]

mod capture;
mod mariadb;
mod postgres;
mod sqlite;
mod traces;
