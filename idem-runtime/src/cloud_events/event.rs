//! An event that came in.

use std::fmt;
use std::time::SystemTime;

use uuid::Uuid;

use super::decode_error::DecodeError;
use crate::event::EventId;
use crate::message::{Headers, Message, Received};

/// An event as it came, from this crate or from any other program.
///
/// Together `source` and `id` say which event it is. The ID can be any text that is not empty.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloudEvent {
    /// Unique within its source.
    pub id: String,
    /// Who emitted it, a URI reference.
    pub source: String,
    /// The attribute `type`.
    pub kind: String,
    /// The topic: the extension attribute `topic`, which this crate sets and others may not.
    pub topic: Option<String>,
    /// The ordering key: the attribute `partitionkey`, never empty.
    pub key: Option<String>,
    /// When it happened.
    pub time: Option<SystemTime>,
    /// The media type of the data: the attribute `datacontenttype`. In structured mode
    /// `application/json` where it is missing.
    pub content_type: Option<String>,
    /// All other attributes, `subject` and `dataschema` among them.
    pub headers: Headers,
    /// The payload; empty if there is none.
    pub data: Vec<u8>,
}

impl CloudEvent {
    /// An event with the attributes that each must have. The fields can be set afterwards.
    pub fn new(
        id: impl Into<String>,
        source: impl Into<String>,
        kind: impl Into<String>,
        data: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            id: id.into(),
            source: source.into(),
            kind: kind.into(),
            topic: None,
            key: None,
            time: None,
            content_type: None,
            headers: Headers::new(),
            data: data.into(),
        }
    }
}

/// Shows neither the payload nor the keys.
impl fmt::Debug for CloudEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudEvent")
            .field("id", &self.id)
            .field("source", &self.source)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// Turns an event of this crate back into the message that it was, for a program that passes events
/// on.
///
/// An event of another producer may lack something. Without a time it gets the present one, without
/// a content type `application/octet-stream`. An ID that is not an event ID is an error
/// ([`DecodeError::NotAnEventId`]), and so is a missing topic ([`DecodeError::Missing`]): set
/// [`topic`](CloudEvent::topic) before.
impl TryFrom<CloudEvent> for Message {
    type Error = DecodeError;

    fn try_from(event: CloudEvent) -> Result<Self, DecodeError> {
        let id = Uuid::try_parse(&event.id)
            .ok()
            // Another form of it would go on under another ID.
            .filter(|id| id.to_string() == event.id)
            .ok_or(DecodeError::NotAnEventId)?;
        Ok(Self {
            id: EventId::new(id),
            source: event.source,
            topic: event.topic.ok_or(DecodeError::Missing("topic"))?,
            key: event.key,
            kind: event.kind,
            payload: event.data,
            content_type: event
                .content_type
                .unwrap_or_else(|| "application/octet-stream".into()),
            headers: event.headers,
            created_at: event.time.unwrap_or_else(SystemTime::now),
        })
    }
}

/// The delivery of an event, whatever its ID, with the payload as it came.
impl From<CloudEvent> for Received<Vec<u8>> {
    fn from(event: CloudEvent) -> Self {
        let mut received = Self::new(event.id, event.data);
        received.source = event.source;
        received.published_at = event.time;
        received.key = event.key;
        received.headers = event.headers;
        received
    }
}
