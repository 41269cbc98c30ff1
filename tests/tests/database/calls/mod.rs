//! What a call gets: its result, its events, its errors and its place among duplicates.

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
        #[path = "suite/look_alikes.rs"]
        mod look_alikes;
        #[path = "suite/outbox.rs"]
        mod outbox;
        #[path = "suite/replay.rs"]
        mod replay;
        #[path = "suite/schema.rs"]
        mod schema;

        use handlers::{claims, outbox_rows, start};
    };
}

mod mariadb;
mod pgbouncer;
mod postgres;
mod sqlite;
