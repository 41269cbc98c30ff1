//! What every database must do, by the same assertions on each.
//!
//! The files in `suite/` are compiled once for each database, against the module that includes them: a new database is one
//! line here, and the module that it names. Where a database can't keep a law, a constant of its module says which and
//! why, and the law's test asserts what happens instead.

#![allow(
    clippy::duplicate_mod,
    reason = "the suite is compiled for each database"
)]

/// The suite for the module in which it stands.
macro_rules! suite {
    () => {
        #[path = "suite/fences.rs"]
        mod fences;
        #[path = "suite/fidelity.rs"]
        mod fidelity;
        #[path = "suite/handler_type.rs"]
        mod handler_type;
        #[path = "suite/handlers.rs"]
        mod handlers;
        #[path = "suite/in_flight.rs"]
        mod in_flight;
        #[path = "suite/joined.rs"]
        mod joined;
        #[path = "suite/keys.rs"]
        mod keys;
        #[path = "suite/million.rs"]
        mod million;
        #[path = "suite/outbox.rs"]
        mod outbox;
        #[path = "suite/replay.rs"]
        mod replay;
        #[path = "suite/schema.rs"]
        mod schema;
    };
}

mod mariadb;
mod model;
mod pgbouncer;
mod postgres;
mod sqlite;
