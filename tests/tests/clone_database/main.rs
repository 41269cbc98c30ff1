//! Copies of a database are equal to it, independent of each other, and read in full.

mod handlers;
mod mariadb;
mod postgres;
mod sqlite;
mod suite;
