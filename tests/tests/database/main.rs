//! What every database must do, by the same assertions on each.
//!
//! The files in a folder `suite/` are compiled once for each database, against the module that
//! includes them: a new database is one line in each `mod.rs`, and the module that it names. Where
//! a database can't keep a law, a constant of its module says which and why, and the law's test
//! asserts what happens instead.

#![allow(
    clippy::duplicate_mod,
    reason = "the suites are compiled for each database"
)]

mod calls;
mod faults;
mod model;
mod postgres;
mod setup;
mod upkeep;
