//! PgBouncer.
