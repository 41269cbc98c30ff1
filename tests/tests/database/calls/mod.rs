//! What a call gets: its result, its events, its errors and its place among duplicates.

/// The suite for the module in which it stands.
macro_rules! suite {
    () => {
        #[path = "suite/batch_faults.rs"]
        mod batch_faults;
        #[path = "suite/batch_handlers.rs"]
        mod batch_handlers;
        #[path = "suite/batches.rs"]
        mod batches;
        #[path = "suite/dropped.rs"]
        mod dropped;
        #[path = "suite/event_conflicts.rs"]
        mod event_conflicts;
        #[path = "suite/fences.rs"]
        mod fences;
        #[path = "suite/fidelity.rs"]
        mod fidelity;
        #[path = "suite/foreign.rs"]
        mod foreign;
        #[path = "suite/handler_type.rs"]
        mod handler_type;
        #[path = "suite/handlers.rs"]
        mod handlers;
        #[path = "suite/in_flight.rs"]
        mod in_flight;
        #[path = "suite/isolation.rs"]
        mod isolation;
        #[path = "suite/joined.rs"]
        mod joined;
        #[path = "suite/keys.rs"]
        mod keys;
        #[path = "suite/look_alikes.rs"]
        mod look_alikes;
        #[path = "suite/migrations.rs"]
        mod migrations;
        #[path = "suite/namespaces.rs"]
        mod namespaces;
        #[path = "suite/outbox.rs"]
        mod outbox;
        #[path = "suite/queue.rs"]
        mod queue;
        #[path = "suite/replay.rs"]
        mod replay;
        #[path = "suite/schema.rs"]
        mod schema;
        #[path = "suite/sessions.rs"]
        mod sessions;

        use handlers::{claims, outbox_rows, start};
    };
}

mod mariadb;
mod pgbouncer;
mod postgres;
mod sqlite;
