//! The explorer finds what it claims to find: handlers that are broken on purpose, each by a
//! mistake that people make, and sound ones of every shape, on each database.
//!
//! `suite/` is compiled once for each database, against the module that includes it.

#![allow(clippy::duplicate_mod)]

mod large_objects;
mod mariadb;
mod postgres;
mod sqlite;
