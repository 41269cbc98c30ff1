//! What is read from tables, endpoints and other programs, and what is written for them.
//!
//! A message's JSON is one line that holds the same again, and so do its HTTP headers; any answer of
//! an endpoint has a verdict; any stored result is read back as it was, or not at all.

#![no_main]

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::time::Duration;

use arbitrary::Arbitrary;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use idem_runtime::cloud_events::{from_json, to_json};
use idem_runtime::{Headers, Message, fuzzing};
use libfuzzer_sys::fuzz_target;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

#[derive(Arbitrary, Debug)]
enum Input {
    Row(Row),
    Answer(bool, u16, Vec<u8>),
    Result(Vec<u8>),
    Outcome(Outcome),
}

#[derive(Arbitrary, Debug)]
struct Row {
    id: u128,
    topic: String,
    kind: String,
    key: Option<String>,
    content_type: ContentType,
    headers: Headers,
    payload: Vec<u8>,
    created_at: i64,
    source: String,
}

#[derive(Arbitrary, Debug)]
enum ContentType {
    Json,
    ProblemJson,
    Bytes,
    Other(String),
}

impl ContentType {
    fn text(&self) -> String {
        match self {
            Self::Json => "application/json".into(),
            Self::ProblemJson => "application/problem+JSON; charset=utf-8".into(),
            Self::Bytes => "application/octet-stream".into(),
            Self::Other(text) => text.clone(),
        }
    }
}

/// What a handler may return.
#[derive(Arbitrary, Debug, PartialEq, Serialize, Deserialize)]
enum Outcome {
    Nothing,
    Unit(()),
    Number(f64),
    Small(f32),
    Wide(i128),
    Text(String),
    Bytes(Vec<u8>),
    Maybe(Option<Box<Outcome>>),
    Pair(char, bool),
    Map(BTreeMap<i16, Outcome>),
    Struct { list: Vec<Outcome>, ratio: f64 },
}

impl Outcome {
    /// JSON has neither infinity nor NaN.
    fn is_json(&self) -> bool {
        match self {
            Self::Number(number) => number.is_finite(),
            Self::Small(number) => number.is_finite(),
            Self::Maybe(Some(outcome)) => outcome.is_json(),
            Self::Map(map) => map.values().all(Self::is_json),
            Self::Struct { list, ratio } => ratio.is_finite() && list.iter().all(Self::is_json),
            _ => true,
        }
    }

    fn depth(&self) -> usize {
        1 + match self {
            Self::Maybe(Some(outcome)) => outcome.depth(),
            Self::Map(map) => map.values().map(Self::depth).max().unwrap_or(0),
            Self::Struct { list, .. } => list.iter().map(Self::depth).max().unwrap_or(0),
            _ => 0,
        }
    }
}

fuzz_target!(|input: Input| {
    match input {
        Input::Row(row) => check_row(row),
        Input::Answer(works, status, retry_after) => check_answer(works, status, &retry_after),
        Input::Result(bytes) => {
            check_stored::<Value>(&bytes);
            check_stored::<Outcome>(&bytes);
            check_stored::<Option<BTreeMap<String, f64>>>(&bytes);
        }
        // serde_json reads 128 levels.
        Input::Outcome(outcome) if outcome.is_json() && outcome.depth() < 32 => {
            check_replay(&outcome);
        }
        Input::Outcome(_) => {}
    }
});

/// What can be read is stored again as something that reads the same.
fn check_stored<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    if let Some(value) = fuzzing::replayed::<T>(Some(bytes.to_vec())) {
        check_replay(&value);
    }
}

fn check_replay<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let stored = fuzzing::stored(value);
    let replayed = fuzzing::replayed::<T>(stored.clone());
    assert_eq!(
        replayed.as_ref(),
        Some(value),
        "{:?}",
        stored.as_deref().map(String::from_utf8_lossy)
    );
}

fn check_answer(works: bool, status: u16, retry_after: &[u8]) {
    let Some(verdict) = idem_http::fuzzing::verdict(works, status, retry_after) else {
        return;
    };
    let Err(error) = verdict else {
        assert!((200..300).contains(&status));
        return;
    };
    let either = matches!(status, 403 | 404 | 502 | 504);
    let endpoint = matches!(status, 300..=399 | 401 | 405 | 407 | 410 | 429 | 503);
    assert_eq!(error.is_unavailable(), endpoint || (either && !works));
    let event = matches!(status, 400..500) && !either && !endpoint && ![408, 425].contains(&status);
    assert_eq!(error.is_permanent(), event);
    let wait = error.retry_after().unwrap_or_default();
    assert!(wait <= Duration::from_hours(24));
}

fn check_row(row: Row) {
    let texts = [row.source, row.topic, row.kind, row.content_type.text()];
    let message = fuzzing::message(
        row.id,
        texts,
        row.key,
        row.headers,
        row.payload,
        row.created_at,
    );
    let attributes = check_line(&message);
    check_headers(&message, &attributes);
    check_read(&message);
}

/// Names of headers may change, and blanks in JSON. Nothing else does.
fn check_read(message: &Message) {
    let event = from_json(&to_json(message));
    if message.source.is_empty() || message.kind.is_empty() {
        assert!(event.is_err());
        return;
    }
    let read: Message = event.expect("an event").try_into().expect("a message");
    assert_eq!((read.id, &read.source), (message.id, &message.source));
    assert_eq!((&read.topic, &read.kind), (&message.topic, &message.kind));
    assert_eq!(read.content_type, message.content_type);
    let key = message.key.clone().filter(|key| !key.is_empty());
    assert_eq!(read.key, key);
    let values = |headers: &Headers| {
        let mut values: Vec<_> = headers.values().cloned().collect();
        values.sort_unstable();
        values
    };
    assert_eq!(values(&read.headers), values(&message.headers));
}

/// A JSON object, in which no name stands twice.
struct Line(BTreeMap<String, Box<RawValue>>);

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Line;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, _>()? {
                    assert!(members.insert(name, value).is_none(), "a name stands twice");
                }
                Ok(Line(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// The attributes of the JSON, `datacontenttype` and the data left out.
fn check_line(message: &Message) -> BTreeMap<String, String> {
    let line = to_json(message);
    assert!(
        !line.contains(&b'\n') && !line.contains(&b'\r'),
        "not one line"
    );
    let Line(mut members) = serde_json::from_slice(&line).expect("a JSON object");
    let mut text = |name: &str| -> Option<String> {
        let value = members.remove(name)?;
        Some(serde_json::from_str(value.get()).expect("a string"))
    };
    assert_eq!(text("datacontenttype"), Some(message.content_type.clone()));
    match (text("data_base64"), members.remove("data")) {
        (Some(base64), None) => {
            assert_eq!(
                BASE64_STANDARD.decode(base64).expect("base64"),
                message.payload
            );
            let is_json = serde_json::from_slice::<&RawValue>(&message.payload).is_ok();
            assert!(
                !is_json || message.content_type != "application/json",
                "data is JSON"
            );
        }
        (None, Some(data)) => {
            let payload: &RawValue = serde_json::from_slice(&message.payload)
                .expect("what is not JSON must not be sent as JSON");
            // Digit by digit; only where a line ended is a blank now.
            assert_eq!(data.get(), payload.get().replace(['\n', '\r'], " "));
        }
        (base64, data) => panic!("one of the two: {base64:?}, {data:?}"),
    }
    let attributes: BTreeMap<String, String> = members
        .into_iter()
        .map(|(name, value)| (name, serde_json::from_str(value.get()).expect("a string")))
        .collect();
    check_attributes(message, &attributes);
    attributes
}

fn check_attributes(message: &Message, attributes: &BTreeMap<String, String>) {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    assert!(
        attributes
            .keys()
            .all(|name| !name.is_empty() && name.bytes().all(is_name))
    );
    assert_eq!(attributes["specversion"], "1.0");
    assert_eq!(attributes["id"], message.id.to_string());
    assert_eq!(attributes["type"], message.kind);
    assert_eq!(attributes["topic"], message.topic);
    let key = message.key.as_ref().filter(|key| !key.is_empty());
    assert_eq!(attributes.get("partitionkey"), key);
    let ours = 6 + usize::from(key.is_some());
    assert_eq!(
        attributes.len(),
        ours + message.headers.len(),
        "a header was lost"
    );
    let time = &attributes["time"];
    assert!(
        [27, 30].contains(&time.len()) && time.ends_with('Z'),
        "not RFC 3339: {time}"
    );
}

/// In HTTP each attribute is the same, percent-encoded.
fn check_headers(message: &Message, attributes: &BTreeMap<String, String>) {
    let Ok(headers) = idem_http::fuzzing::headers(message) else {
        let is_ascii = message
            .content_type
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ');
        assert!(!is_ascii, "{:?} is a header's value", message.content_type);
        return;
    };
    let mut seen = HashSet::new();
    for (name, value) in &headers {
        let (name, value) = (name.to_string(), value.as_bytes());
        assert!(seen.insert(name.clone()), "`{name}` stands twice");
        if name == "content-type" {
            assert_eq!(value, message.content_type.as_bytes());
            continue;
        }
        assert!(value.iter().all(u8::is_ascii_graphic), "not visible ASCII");
        let attribute = name.strip_prefix("ce-").unwrap_or(&name);
        assert_eq!(percent_decoded(value), attributes[attribute].as_bytes());
    }
    for name in attributes.keys() {
        assert!(seen.contains(&format!("ce-{name}")), "`{name}` is missing");
    }
}

fn percent_decoded(value: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = value;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let (hex, after) = rest.split_at(2);
            let hex = std::str::from_utf8(hex).expect("ASCII");
            decoded.push(u8::from_str_radix(hex, 16).expect("two digits"));
            rest = after;
        } else {
            decoded.push(byte);
        }
    }
    decoded
}
