//! Publishers: what a [`Relay`](crate::Relay) sends events to.
//!
//! An event travels as [CloudEvents] 1.0. Every publisher maps it in the same way:
//!
//! | attribute | value |
//! |---|---|
//! | `id` | the event ID, the same on every publication |
//! | `source` | the topic as a path (`/orders.placed`), unless the publisher was given another one |
//! | `type` | the event's type |
//! | `time` | when it was emitted, by the database's clock |
//! | `datacontenttype` | `application/json` |
//! | `partitionkey` | the ordering key, if there is one |
//! | `topic` | the topic (an extension attribute of this crate) |
//! | `causation`, `traceparent`, ... | the headers, one attribute each |
//!
//! Names of attributes are lower-case ASCII letters and digits, so a header `Tenant-ID` travels as
//! `tenantid`. If that name is taken or empty, it gets an `x` in front. The headers `subject` and
//! `dataschema` become the attributes of that name.
//!
//! [CloudEvents]: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md

mod cloud_events;
#[cfg(all(fuzzing, feature = "http"))]
pub(crate) mod fuzzing;
#[cfg(feature = "http")]
mod http;
mod json_lines;

#[cfg(feature = "http")]
pub use http::{Http, HttpError};
pub use json_lines::JsonLines;
