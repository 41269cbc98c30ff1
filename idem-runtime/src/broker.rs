//! Publishers for a [`Relay`](crate::Relay) that need no broker's client.
//!
//! Others are crates of their own, such as `idem-http`. Each of them sends an event as CloudEvents
//! 1.0, by the mapping of [`cloud_events`](crate::cloud_events).

mod json_lines;

pub use json_lines::JsonLines;
