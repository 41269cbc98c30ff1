//! Publishers that need no broker's client: what a [`Relay`](crate::Relay) sends events to.
//!
//! Others are crates of their own, such as `idem-http`. An event travels as CloudEvents 1.0, mapped
//! by [`cloud_events`](crate::cloud_events) in the same way by every publisher.

mod json_lines;

pub use json_lines::JsonLines;
