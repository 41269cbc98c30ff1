//! What PostgreSQL alone has: schemas and roles that a handler may take, a log and statistics that
//! keep statements, plans.

mod batches;
mod commits;
mod copies;
mod handlers;
mod payloads;
mod renames;
mod rights;
mod roles;
mod tables;
