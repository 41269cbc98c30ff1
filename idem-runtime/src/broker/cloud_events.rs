//! The one mapping of a message to the attributes of CloudEvents 1.0.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;

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

/// The end of the year 9999.
const LAST_MOMENT: Duration = Duration::from_micros(253_402_300_799_999_999);

/// All attributes but `datacontenttype`, which each binding carries in a place of its own. Values
/// are in their canonical form, not yet encoded for any protocol.
pub(super) fn attributes(message: &Message, source: Option<&str>) -> Vec<(String, String)> {
    let mut attributes = vec![
        ("specversion", "1.0".to_owned()),
        ("id", message.id.to_string()),
        (
            "source",
            source.map_or_else(|| path(&message.topic), str::to_owned),
        ),
        ("type", message.kind.clone()),
        ("time", rfc3339(message.created_at)),
        ("topic", message.topic.clone()),
    ];
    // "MUST be a non-empty string"
    if let Some(key) = message.key.as_ref().filter(|key| !key.is_empty()) {
        attributes.push(("partitionkey", key.clone()));
    }
    let mut attributes: Vec<_> = attributes
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
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

/// A message in the JSON event format, on one line.
pub(super) struct Json<'a> {
    pub(super) message: &'a Message,
    pub(super) source: Option<&'a str>,
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in attributes(self.message, self.source) {
            map.serialize_entry(&name, &value)?;
        }
        map.serialize_entry("datacontenttype", &self.message.content_type)?;
        match json(self.message) {
            Some(data) => map.serialize_entry("data", &data)?,
            None => map.serialize_entry(
                "data_base64",
                &BASE64_STANDARD.encode(&self.message.payload),
            )?,
        }
        map.end()
    }
}

/// The payload, if it is JSON as its type says; digit by digit as the handler wrote it.
fn json(message: &Message) -> Option<Box<RawValue>> {
    let media_type = message.content_type.split(';').next()?.trim();
    let (_, subtype) = media_type.split_once('/')?;
    let subtype = subtype.to_ascii_lowercase();
    if subtype != "json" && !subtype.ends_with("+json") {
        return None;
    }
    let json: Box<RawValue> = serde_json::from_slice(&message.payload).ok()?;
    if !json.get().contains(['\n', '\r']) {
        return Some(json);
    }
    // In JSON a line ends between tokens only: strings have line ends escaped.
    RawValue::from_string(json.get().replace(['\n', '\r'], " ")).ok()
}

/// A path that is a valid URI reference, whatever the topic holds.
fn path(topic: &str) -> String {
    let mut path = String::from("/");
    for &byte in topic.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => {
                path.push(char::from(byte));
            }
            byte => {
                let _ = write!(path, "%{byte:02X}");
            }
        }
    }
    path
}

/// UTC, to the microsecond. A time outside of the years 1970 to 9999, which have four digits,
/// becomes their first or last moment.
fn rfc3339(time: SystemTime) -> String {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .min(LAST_MOMENT);
    humantime::format_rfc3339_micros(SystemTime::UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::event::EventId;

    fn message(headers: &[(&str, &str)], payload: &str) -> Message {
        Message {
            id: EventId::new(Uuid::from_u128(7)),
            topic: "orders placed/é".into(),
            key: Some("o-1".into()),
            kind: "OrderPlaced".into(),
            payload: payload.into(),
            content_type: "application/json".into(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            created_at: SystemTime::UNIX_EPOCH + Duration::from_micros(1_709_210_096_000_042),
        }
    }

    fn line(message: &Message, source: Option<&str>) -> String {
        serde_json::to_string(&Json { message, source }).unwrap()
    }

    #[test]
    fn an_event_is_one_line_of_the_json_event_format() {
        let message = message(
            &[("causation", "c-1"), ("traceparent", "00-1-2-01")],
            "{\"total\":\n12345678901234567890.10}",
        );
        assert_eq!(
            line(&message, None),
            r#"{"specversion":"1.0","id":"00000000-0000-0000-0000-000000000007","source":"/orders%20placed/%C3%A9","type":"OrderPlaced","time":"2024-02-29T12:34:56.000042Z","topic":"orders placed/é","partitionkey":"o-1","causation":"c-1","traceparent":"00-1-2-01","datacontenttype":"application/json","data":{"total": 12345678901234567890.10}}"#
        );
    }

    #[test]
    fn the_source_is_the_publishers_if_it_has_one() {
        let attributes = attributes(&message(&[], "1"), Some("https://shop.example/orders"));
        assert!(attributes.contains(&("source".into(), "https://shop.example/orders".into())));
    }

    #[test]
    fn what_is_not_json_travels_in_base64() {
        let mut message = message(&[], "{\"half\":");
        assert!(line(&message, None).ends_with(r#","data_base64":"eyJoYWxmIjo="}"#));
        message.content_type = "application/octet-stream".into();
        message.payload = vec![0, 255];
        assert!(
            line(&message, None).ends_with(
                r#","datacontenttype":"application/octet-stream","data_base64":"AP8="}"#
            )
        );
        message.content_type = "application/problem+json; charset=utf-8".into();
        message.payload = b"null".to_vec();
        assert!(line(&message, None).ends_with(r#","data":null}"#));
    }

    /// Guards: the payload is read before its line ends are replaced. Otherwise a line end inside a
    /// string, which is not JSON, would silently become a blank. Found by the fuzz target
    /// `envelopes`.
    #[test]
    fn a_payload_that_is_not_json_is_never_made_json() {
        for payload in ["\"a\nb\"", "\"a\rb\"", "1\u{0}", "\u{feff}1", ""] {
            let base64 = BASE64_STANDARD.encode(payload);
            let end = format!(r#","data_base64":"{base64}"}}"#);
            assert!(line(&message(&[], payload), None).ends_with(&end));
        }
    }

    /// Guards: `LAST_MOMENT`. Found by the fuzz target `envelopes`.
    #[test]
    fn a_time_that_rfc_3339_cannot_say_is_the_nearest_that_it_can() {
        let epoch = SystemTime::UNIX_EPOCH;
        let end = epoch + LAST_MOMENT;
        for (time, text) in [
            (
                epoch - Duration::from_secs(1),
                "1970-01-01T00:00:00.000000Z",
            ),
            (end, "9999-12-31T23:59:59.999999Z"),
            (
                end + Duration::from_micros(1),
                "9999-12-31T23:59:59.999999Z",
            ),
        ] {
            assert_eq!(rfc3339(time), text);
        }
    }

    /// Guards: the set of names that are taken. No header can pose as an attribute of this crate,
    /// or hide another header.
    #[test]
    fn a_header_never_takes_the_name_of_another_attribute() {
        let message = message(
            &[
                ("", "none"),
                ("ID", "own"),
                ("Tenant-ID", "first"),
                ("subject", "s"),
                ("tenant_id", "second"),
            ],
            "1",
        );
        let extensions: Vec<_> = attributes(&message, None).split_off(7);
        let expected = [
            ("x", "none"),
            ("xid", "own"),
            ("tenantid", "first"),
            ("subject", "s"),
            ("xtenantid", "second"),
        ];
        assert_eq!(
            extensions,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }
}
