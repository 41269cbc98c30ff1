//! Messages as [CloudEvents] 1.0: how an event looks on the wire, and how it is read again.
//!
//! Every publisher maps a [`Message`](crate::Message) in the same way:
//!
//! | attribute | value |
//! |---|---|
//! | `id` | the event ID, the same on every publication |
//! | `source` | the [`source`](crate::Message::source): by default `urn:uuid:` and the database's namespace, or what [`Relay::source`](crate::Relay::source) was given |
//! | `type` | the event's type |
//! | `time` | when it was emitted, by the database's clock |
//! | `datacontenttype` | the media type of the payload, `application/json` for what a handler emits |
//! | `partitionkey` | the ordering key, if there is one that is not empty |
//! | `topic` | the topic (an extension attribute of this crate) |
//! | `causation`, `traceparent`, ... | the headers, one attribute each |
//!
//! # Two modes
//!
//! **Structured**: [`to_json`] and [`from_json`] put all of it into one JSON object, for files and
//! for protocols without headers.
//!
//! **Binary**: [`to_attributes`] and [`from_attributes`] keep the payload as it is. Each attribute
//! is a header of the protocol, with a prefix of that protocol: `ce-` for HTTP, `ce_` for Kafka,
//! `cloudEvents:` for AMQP. `datacontenttype` alone is left out: put it where the protocol has its
//! content type, such as the header `Content-Type` of HTTP.
//!
//! ```
//! use idem_runtime::{EventId, Message, cloud_events};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut message = Message::new(EventId::new(uuid::Uuid::nil()), "orders.placed", "OrderPlaced", r#"{"order":1}"#);
//! message.key = Some("1".into());
//!
//! // a publisher for Kafka
//! let headers: Vec<_> = cloud_events::to_attributes(&message)
//!     .into_iter()
//!     .map(|(name, value)| (format!("ce_{name}"), value))
//!     .collect();
//!
//! // and its consumer
//! let attributes = headers.into_iter().filter_map(|(name, value)| {
//!     Some((name.strip_prefix("ce_")?.to_owned(), value))
//! });
//! let event = cloud_events::from_attributes(attributes, Some(message.content_type.clone()), message.payload.clone())?;
//! assert_eq!(event.key.as_deref(), Some("1"));
//! assert_eq!(Message::try_from(event)?, message);
//! # Ok(())
//! # }
//! ```
//!
//! # What comes back
//!
//! A message that is written and read again equals the original, apart from this:
//!
//! * **Names of headers.** Names of attributes are lower-case ASCII letters and digits, so a header
//!   `Tenant-ID` travels as `tenantid`, and comes back as `tenantid`. If that name is taken or
//!   empty, it gets an `x` in front. So give headers names of lower-case letters and digits, other
//!   than the names in the table. Headers named `subject` and `dataschema` become these attributes
//!   of CloudEvents.
//! * **An empty ordering key** comes back as no key: CloudEvents has no empty `partitionkey`.
//! * **Blanks in JSON**, in structured mode only: those around a payload are dropped, and its line
//!   ends become spaces, so that an event is one line. Numbers and strings keep every digit and
//!   escape.
//! * **A time** before 1970 becomes the start of 1970, and one after the year 9999 its last moment.
//!
//! Type and source must not be empty: an event without them can't be read again.
//!
//! [CloudEvents]: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md

mod attributes;
mod decode_error;
mod event;
mod json;
mod timestamp;

pub use attributes::{from_attributes, to_attributes};
pub use decode_error::DecodeError;
pub use event::CloudEvent;
pub use json::{from_json, to_json};

#[cfg(test)]
mod tests;
