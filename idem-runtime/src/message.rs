//! Messages on their way out, and on their way in.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use crate::event::EventId;

/// The headers of a message, by name.
pub type Headers = BTreeMap<String, String>;

/// An event of the outbox on its way to a broker.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The same on every publication.
    pub id: EventId,
    /// Who emitted it, as a URI reference: the attribute `source` of CloudEvents. An ID is unique
    /// within its source. For an event of the outbox it is `urn:uuid:` and the database's
    /// namespace, unless the relay was given [another one](crate::Relay::source).
    pub source: String,
    /// Where it is published.
    pub topic: String,
    /// The ordering key: messages with the same one are published in order. `None`: in any order.
    pub key: Option<String>,
    /// The type of event.
    pub kind: String,
    /// The event itself, encoded as `content_type` says.
    pub payload: Vec<u8>,
    /// The media type of the payload.
    pub content_type: String,
    /// `causation`, `traceparent` and what the handler added.
    pub headers: Headers,
    /// When it was emitted, by the database's clock.
    pub created_at: SystemTime,
}

impl Message {
    /// A message of JSON without an ordering key or headers, emitted now. Its source is `/`, which
    /// names nobody. The fields can be set afterwards.
    ///
    /// ```
    /// use idem_runtime::{EventId, Message};
    ///
    /// let id = EventId::new(uuid::Uuid::now_v7());
    /// let mut message = Message::new(id, "orders.placed", "OrderPlaced", r#"{"order":1}"#);
    /// message.key = Some("1".into());
    /// ```
    pub fn new(
        id: EventId,
        topic: impl Into<String>,
        kind: impl Into<String>,
        payload: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            id,
            source: "/".into(),
            topic: topic.into(),
            key: None,
            kind: kind.into(),
            payload: payload.into(),
            content_type: "application/json".into(),
            headers: Headers::new(),
            created_at: SystemTime::now(),
        }
    }
}

/// Shows neither the payload nor the keys.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("topic", &self.topic)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// A delivery: the data, and what the transport says of it. [`Handler`](crate::Handler) takes it,
/// and so does a function that wants more than the data, such as the ID as its key:
/// `event: &Received<Payment>`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received<M> {
    /// The ID that the producer minted, unique within its [`source`](Self::source). A
    /// [`Consumer`](crate::Consumer) leaves it empty where there is none, and a handler whose key it
    /// is then refuses the message.
    pub id: String,
    /// Who emitted it: the attribute `source` of CloudEvents. Empty if it is not known.
    pub source: String,
    /// The ordering key.
    pub key: Option<String>,
    /// When it was published, or emitted.
    pub published_at: Option<SystemTime>,
    /// Which attempt to handle it this is, counted in the database over all instances and restarts;
    /// 1 is the first.
    pub attempt: u32,
    /// The message's headers.
    pub headers: Headers,
    /// The message itself.
    pub data: M,
}

impl<M> Received<M> {
    /// The first delivery of a message of which nothing else is known. The fields can be set
    /// afterwards.
    ///
    /// ```
    /// let received = idem_runtime::Received::new("evt_1", 7);
    /// assert_eq!((received.id.as_str(), received.data), ("evt_1", 7));
    /// ```
    pub fn new(id: impl Into<String>, data: M) -> Self {
        Self {
            id: id.into(),
            source: String::new(),
            key: None,
            published_at: None,
            attempt: 1,
            headers: Headers::new(),
            data,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_message_shows_neither_payload_nor_key_nor_headers() {
        let message = Message {
            id: EventId::new(Uuid::nil()),
            source: "/".into(),
            topic: "orders.placed".into(),
            key: Some("secret".into()),
            kind: "OrderPlaced".into(),
            payload: b"secret".to_vec(),
            content_type: "application/json".into(),
            headers: [("causation".into(), "secret".into())].into(),
            created_at: SystemTime::UNIX_EPOCH,
        };
        assert_eq!(
            format!("{message:?}"),
            r#"Message { id: EventId(00000000-0000-0000-0000-000000000000), topic: "orders.placed", kind: "OrderPlaced", .. }"#
        );
    }
}
