//! Structured mode: an event as one JSON object.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;

use super::attributes::{Attributes, to_attributes};
use super::decode_error::DecodeError;
use super::event::CloudEvent;
use crate::message::Message;

/// What a JSON event has where it says nothing else.
const JSON: &str = "application/json";

/// The message in the JSON event format, on one line without its end. A payload that is JSON, as its
/// type says, is there as JSON, digit by digit; any other is in Base64.
pub fn to_json(message: &Message) -> Vec<u8> {
    serde_json::to_vec(&Structured(message)).expect("strings and valid JSON serialize")
}

/// An event in the JSON event format, of any producer.
///
/// An extension attribute that is not text is kept as its JSON. One that is `null` is not there.
///
/// # Errors
/// See [`DecodeError`].
pub fn from_json(json: &[u8]) -> Result<CloudEvent, DecodeError> {
    let Members(members) = serde_json::from_slice(json).map_err(|error| {
        // Its text can quote the input.
        DecodeError::NotAnObject {
            line: error.line(),
            column: error.column(),
        }
    })?;
    let mut attributes = Attributes::default();
    let (mut content_type, mut data, mut base64) = (None, None, None);
    for (name, value) in members {
        match name.as_str() {
            "data" => set(&mut data, &name, value)?,
            _ if value.get() == "null" => {}
            "data_base64" => set(&mut base64, &name, text(&name, &value)?)?,
            "datacontenttype" => set(&mut content_type, &name, text(&name, &value)?)?,
            "specversion" | "id" | "source" | "type" | "time" | "topic" | "partitionkey"
            | "subject" | "dataschema" => {
                let value = text(&name, &value)?;
                attributes.insert(name, value)?;
            }
            _ => {
                let value = text(&name, &value).unwrap_or_else(|_| value.get().to_owned());
                attributes.insert(name, value)?;
            }
        }
    }
    let content_type = content_type.unwrap_or_else(|| JSON.to_owned());
    let data = match (data, base64) {
        (Some(data), Some(_)) if data.get() != "null" => return Err(DecodeError::TwoPayloads),
        (_, Some(base64)) => BASE64_STANDARD
            .decode(base64)
            .map_err(|_| DecodeError::Base64)?,
        (Some(data), None) => payload(&data, &content_type).into_bytes(),
        (None, None) => Vec::new(),
    };
    attributes.into_event(Some(content_type), data)
}

/// What the member `data` holds: JSON, or a text in a JSON string.
fn payload(data: &RawValue, content_type: &str) -> String {
    match data.get() {
        json if is_json(content_type) => json.to_owned(),
        "null" => String::new(),
        other => text("data", data).unwrap_or_else(|_| other.to_owned()),
    }
}

/// Refuses a second value.
fn set<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), DecodeError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(DecodeError::Repeated(name.to_owned())),
    }
}

fn text(name: &str, value: &RawValue) -> Result<String, DecodeError> {
    serde_json::from_str(value.get()).map_err(|_| DecodeError::NotText(name.to_owned()))
}

/// The members of an object in their order. A map would hide that a name stands twice.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// A message in the JSON event format.
struct Structured<'a>(&'a Message);

impl Serialize for Structured<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(message) = self;
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in to_attributes(message) {
            map.serialize_entry(&name, &value)?;
        }
        map.serialize_entry("datacontenttype", &message.content_type)?;
        if let Some(data) = json_payload(message) {
            map.serialize_entry("data", &data)?;
        } else {
            let base64 = BASE64_STANDARD.encode(&message.payload);
            map.serialize_entry("data_base64", &base64)?;
        }
        map.end()
    }
}

/// The payload, if it is JSON as its type says; digit by digit as the handler wrote it.
fn json_payload(message: &Message) -> Option<Box<RawValue>> {
    if !is_json(&message.content_type) {
        return None;
    }
    let json: Box<RawValue> = serde_json::from_slice(&message.payload).ok()?;
    if !json.get().contains(['\n', '\r']) {
        return Some(json);
    }
    // In JSON a line ends between tokens only: strings have line ends escaped.
    RawValue::from_string(json.get().replace(['\n', '\r'], " ")).ok()
}

/// Whether a media type says JSON.
fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let Some((_, subtype)) = media_type.split_once('/') else {
        return false;
    };
    let subtype = subtype.to_ascii_lowercase();
    subtype == "json" || subtype.ends_with("+json")
}
