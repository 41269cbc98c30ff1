//! A message as a source hands it out.

use std::fmt;
use std::time::SystemTime;

use crate::cloud_events::{CloudEvent, DecodeError, from_attributes, from_json};
use crate::event::{Event, OrderingKey};
use crate::message::{Headers, Message};

/// The media type of an event that is one JSON object.
const STRUCTURED: &str = "application/cloudevents+json";

/// A message as its broker gave it, before it is decoded.
///
/// A source makes it of what the protocol has, and sets the fields that the broker knows:
///
/// ```
/// use idem_runtime::Incoming;
///
/// // what a Kafka record of this crate's publishers holds: headers `ce_id`, `ce_type`, ...
/// let attributes = [("specversion", "1.0"), ("id", "evt_1"), ("source", "/shop"), ("type", "OrderPlaced"), ("partitionkey", "7")];
/// let mut incoming = Incoming::from_attributes(attributes, Some("application/json".into()), b"{}".to_vec());
/// incoming.topic = "orders".into();
/// incoming.position = "orders/3/1047".into();
/// assert_eq!((incoming.id.as_str(), incoming.kind.as_str()), ("evt_1", "OrderPlaced"));
/// assert_eq!(incoming.key.as_deref(), Some("7"));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Incoming {
    /// The ID that the producer minted. Empty if it minted none.
    pub id: String,
    /// Who emitted it: the attribute `source` of CloudEvents. An ID is unique within its source.
    /// Empty if it is not known.
    pub source: String,
    /// The type of event, by which its handler is found. Empty if it is not known.
    pub kind: String,
    /// The ordering key: deliveries of one key run one after the other, in the order in which they
    /// arrive. Without one they are in no order.
    pub key: Option<String>,
    /// Everything else that came with it. A header `traceparent` links the handler's span to the
    /// producer's.
    pub headers: Headers,
    /// The media type of the body.
    pub content_type: Option<String>,
    /// The message itself.
    pub body: Vec<u8>,
    /// When it was published, or emitted.
    pub published_at: Option<SystemTime>,
    /// The topic, queue or subject that it came from.
    pub topic: String,
    /// Its place with the broker, the same each time it is delivered, such as topic, partition and
    /// offset. Names a message without an ID. Empty if the broker has no such place.
    pub position: String,
    /// Whether the broker may have handed it out before. Its attempt is then counted before it runs,
    /// so that a message that ends the process is found out. If in doubt, `true`: that costs one
    /// statement.
    pub redelivered: bool,
    /// How often the broker has handed it out, this time included, if it counts.
    pub count: Option<u32>,
    /// Why it can't be read at all.
    malformed: Option<DecodeError>,
}

impl Incoming {
    /// A message of which nothing is known but its body. The fields can be set afterwards.
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        Self {
            id: String::new(),
            source: String::new(),
            kind: String::new(),
            key: None,
            headers: Headers::new(),
            content_type: None,
            body: body.into(),
            published_at: None,
            topic: String::new(),
            position: String::new(),
            redelivered: false,
            count: None,
            malformed: None,
        }
    }

    /// An event in JSON, as a relay publishes it, with this ID and of an unknown source: for tests,
    /// and for what a service tells itself.
    ///
    /// # Errors
    /// If the event does not serialize.
    pub fn of_event<E: Event>(id: impl Into<String>, event: &E) -> Result<Self, serde_json::Error> {
        Ok(Self {
            id: id.into(),
            source: "/".into(),
            kind: E::TYPE.into(),
            key: event.ordering_key().map(OrderingKey::into_string),
            content_type: Some("application/json".into()),
            topic: E::TOPIC.into(),
            ..Self::new(serde_json::to_vec(event)?)
        })
    }

    /// A message of a protocol with headers: `attributes` without the protocol's prefix (`ce-`,
    /// `ce_`, `cloudEvents:`), and the protocol's own content type.
    ///
    /// With an attribute `specversion` it is a CloudEvent in binary mode, and with the content type
    /// `application/cloudevents+json` one in structured mode: this crate's publishers send these. If
    /// it says that it is an event and can't be read as one, it becomes a dead letter with the
    /// reason and its raw bytes. Of anything else the source sets what the protocol says: an ID, a
    /// type, a key.
    pub fn from_attributes<N: Into<String>, V: Into<String>>(
        attributes: impl IntoIterator<Item = (N, V)>,
        content_type: Option<String>,
        body: Vec<u8>,
    ) -> Self {
        if content_type.as_deref().is_some_and(is_structured) {
            return Self::from_json(body);
        }
        let attributes: Vec<(String, String)> = attributes
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let is_event = attributes
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("specversion"));
        if !is_event {
            let mut incoming = Self::new(body);
            incoming.content_type = content_type;
            return incoming;
        }
        match from_attributes(attributes, content_type.clone(), Vec::new()) {
            Ok(mut event) => {
                event.data = body;
                event.into()
            }
            Err(error) => Self {
                content_type,
                malformed: Some(error),
                ..Self::new(body)
            },
        }
    }

    /// A CloudEvent in structured mode, for a protocol or a queue that holds nothing else. What
    /// can't be read becomes a dead letter with the reason.
    pub fn from_json(body: Vec<u8>) -> Self {
        match from_json(&body) {
            Ok(event) => event.into(),
            Err(error) => Self {
                content_type: Some(STRUCTURED.into()),
                malformed: Some(error),
                ..Self::new(body)
            },
        }
    }

    /// Why it can't be read at all.
    pub const fn malformed(&self) -> Option<&DecodeError> {
        self.malformed.as_ref()
    }

    /// How many bytes it holds: body, headers and names.
    pub fn size(&self) -> usize {
        let headers = self.headers.iter();
        self.body.len()
            + headers
                .map(|(name, value)| name.len() + value.len())
                .sum::<usize>()
            + self.key.as_ref().map_or(0, String::len)
            + self.id.len()
            + self.source.len()
            + self.kind.len()
            + self.topic.len()
            + self.position.len()
    }
}

fn is_structured(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case(STRUCTURED)
}

/// What a source in this process hands out.
impl From<CloudEvent> for Incoming {
    fn from(event: CloudEvent) -> Self {
        Self {
            id: event.id,
            source: event.source,
            kind: event.kind,
            key: event.key,
            headers: event.headers,
            content_type: event.content_type,
            published_at: event.time,
            topic: event.topic.unwrap_or_default(),
            ..Self::new(event.data)
        }
    }
}

/// The message as a consumer gets it back.
impl From<Message> for Incoming {
    fn from(message: Message) -> Self {
        Self {
            id: message.id.to_string(),
            source: message.source,
            kind: message.kind,
            key: message.key,
            headers: message.headers,
            content_type: Some(message.content_type),
            published_at: Some(message.created_at),
            topic: message.topic,
            ..Self::new(message.payload)
        }
    }
}

/// Shows neither the body nor the key nor the headers.
impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("id", &self.id)
            .field("source", &self.source)
            .field("kind", &self.kind)
            .field("topic", &self.topic)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::cloud_events::{to_attributes, to_json};
    use crate::event::EventId;

    fn message() -> Message {
        let id = EventId::new(Uuid::from_u128(7));
        let mut message = Message::new(id, "orders", "OrderPlaced", r#"{"order":1}"#);
        message.source = "/shop".into();
        message.key = Some("1".into());
        message.headers.insert("causation".into(), "c".into());
        // The wire has milliseconds or microseconds.
        message.created_at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(7);
        message
    }

    #[test]
    fn both_modes_of_a_publishers_message_are_the_same_delivery() {
        let expected = Incoming::from(message());
        let binary = Incoming::from_attributes(
            to_attributes(&message()),
            Some("application/json".into()),
            message().payload,
        );
        let json = to_json(&message());
        let no_attributes: [(String, String); 0] = [];
        let structured = Incoming::from_attributes(
            no_attributes,
            Some("Application/CloudEvents+JSON; charset=utf-8".into()),
            json.clone(),
        );
        assert!(binary == expected && structured == expected);
        assert!(Incoming::from_json(json) == expected);
        assert_eq!(expected.malformed(), None);
    }

    #[test]
    fn what_says_that_it_is_an_event_and_is_none_keeps_its_bytes_and_the_reason() {
        let binary = Incoming::from_attributes([("specversion", "1.0")], None, b"b".to_vec());
        let structured = Incoming::from_json(b"[]".to_vec());
        assert_eq!((&*binary.body, &*structured.body), (&b"b"[..], &b"[]"[..]));
        assert_eq!(binary.malformed(), Some(&DecodeError::Missing("id")));
        assert!(structured.malformed().is_some());
    }

    #[test]
    fn a_message_that_is_no_event_is_its_bytes() {
        let raw = Incoming::from_attributes([("tenant", "7")], None, b"b".to_vec());
        assert!(raw == Incoming::new("b"));
    }

    #[test]
    fn neither_body_nor_key_nor_headers_are_shown() {
        let mut secret = message();
        secret.key = Some("secret".into());
        secret.payload = b"secret".to_vec();
        secret.headers.insert("secret".into(), "secret".into());
        let shown = format!("{:?}", Incoming::from(secret));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
