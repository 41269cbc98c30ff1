//! Binary mode: an event as attributes, next to its payload.

use std::collections::{BTreeMap, HashSet};

use super::decode_error::DecodeError;
use super::event::CloudEvent;
use super::timestamp;
use crate::message::Message;

/// Names that no header may take.
const OURS: [&str; 9] = [
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "datacontenttype",
    "partitionkey",
    "topic",
    "data",
];

/// All attributes of a message but `datacontenttype`, without a prefix. Names are lower-case ASCII
/// letters and digits, and none stands twice. Values are any text, not yet encoded for a protocol.
pub fn to_attributes(message: &Message) -> Vec<(String, String)> {
    let mut attributes = vec![
        ("specversion".to_owned(), "1.0".to_owned()),
        ("id".to_owned(), message.id.to_string()),
        ("source".to_owned(), message.source.clone()),
        ("type".to_owned(), message.kind.clone()),
        ("time".to_owned(), timestamp::format(message.created_at)),
        ("topic".to_owned(), message.topic.clone()),
    ];
    // "MUST be a non-empty string"
    if let Some(key) = message.key.as_ref().filter(|key| !key.is_empty()) {
        attributes.push(("partitionkey".to_owned(), key.clone()));
    }
    if message.headers.is_empty() {
        return attributes;
    }
    let mut taken: HashSet<String> = OURS.iter().map(|&name| name.to_owned()).collect();
    for (name, value) in &message.headers {
        let mut name: String = name
            .chars()
            .map(|c| c.to_ascii_lowercase())
            .filter(char::is_ascii_alphanumeric)
            .collect();
        while name.is_empty() || !taken.insert(name.clone()) {
            name.insert(0, 'x');
        }
        attributes.push((name, value.clone()));
    }
    attributes
}

/// An event in binary mode, of any producer. The names of the attributes come without the
/// protocol's prefix and are taken in lower case; the content type is the protocol's own.
///
/// # Errors
/// See [`DecodeError`].
pub fn from_attributes<N: Into<String>, V: Into<String>>(
    attributes: impl IntoIterator<Item = (N, V)>,
    content_type: Option<String>,
    data: Vec<u8>,
) -> Result<CloudEvent, DecodeError> {
    let mut found = Attributes::default();
    for (name, value) in attributes {
        found.insert(name.into().to_ascii_lowercase(), value.into())?;
    }
    found.into_event(content_type, data)
}

/// Attributes that were read.
#[derive(Default)]
pub(super) struct Attributes(BTreeMap<String, String>);

impl Attributes {
    pub(super) fn insert(&mut self, name: String, value: String) -> Result<(), DecodeError> {
        if self.0.contains_key(&name) {
            return Err(DecodeError::Repeated(name));
        }
        self.0.insert(name, value);
        Ok(())
    }

    fn required(&mut self, name: &'static str) -> Result<String, DecodeError> {
        self.0
            .remove(name)
            .filter(|value| !value.is_empty())
            .ok_or(DecodeError::Missing(name))
    }

    pub(super) fn into_event(
        mut self,
        content_type: Option<String>,
        data: Vec<u8>,
    ) -> Result<CloudEvent, DecodeError> {
        if self.required("specversion")? != "1.0" {
            return Err(DecodeError::Version);
        }
        let (id, source, kind) = (
            self.required("id")?,
            self.required("source")?,
            self.required("type")?,
        );
        let time = match self.0.remove("time") {
            Some(time) => Some(timestamp::parse(&time).ok_or(DecodeError::Time)?),
            None => None,
        };
        let topic = self.0.remove("topic");
        let key = self.0.remove("partitionkey").filter(|key| !key.is_empty());
        // The protocol has its own place for it. A producer that says it here as well says the same.
        let said = self.0.remove("datacontenttype");
        let mut event = CloudEvent::new(id, source, kind, data);
        event.topic = topic;
        event.key = key;
        event.time = time;
        event.content_type = content_type.or(said);
        event.headers = self.0;
        Ok(event)
    }
}
