//! What PostgreSQL alone has: schemas and roles that a handler may take, a log and statistics that
//! keep statements, plans.

mod bed;
mod commits;
mod copies;
mod payloads;
mod renames;
mod rights;
mod roles;
mod tables;
