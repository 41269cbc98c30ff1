//! Events of other programs, in both modes.
//!
//! Whatever comes is an event or has a reason why not; and an event that is a message of ours is
//! written and read again as the same message.

#![no_main]

use std::time::{Duration, SystemTime};

use arbitrary::Arbitrary;
use http::{HeaderMap, HeaderName, HeaderValue};
use idem_runtime::Message;
use idem_runtime::cloud_events::{
    CloudEvent, DecodeError, from_attributes, from_json, to_attributes, to_json,
};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Input {
    Json(Vec<u8>),
    /// What may stand in an event, so that more of them are read.
    Members(Vec<(Name, Member)>),
    Attributes(Vec<(String, String)>, Option<String>, Vec<u8>),
    Request(Vec<(String, Vec<u8>)>, Vec<u8>),
}

#[derive(Arbitrary, Debug)]
enum Name {
    Version,
    Id,
    Source,
    Type,
    Time,
    ContentType,
    Topic,
    Key,
    Data,
    Base64,
    Other(String),
}

#[derive(Arbitrary, Debug)]
enum Member {
    Usual,
    Text(String),
    Raw(String),
}

impl Name {
    fn text(&self) -> (&str, &str) {
        match self {
            Self::Version => ("specversion", "\"1.0\""),
            Self::Id => ("id", "\"00000000-0000-0000-0000-000000000007\""),
            Self::Source => ("source", "\"/\""),
            Self::Type => ("type", "\"T\""),
            Self::Time => ("time", "\"1969-12-31T23:59:60.5+23:59\""),
            Self::ContentType => ("datacontenttype", "\"text/plain\""),
            Self::Topic => ("topic", "\"t\""),
            Self::Key => ("partitionkey", "\"k\""),
            Self::Data => ("data", "{\"n\": 1.0}"),
            Self::Base64 => ("data_base64", "\"AP8=\""),
            Self::Other(name) => (name, "7"),
        }
    }
}

fuzz_target!(|input: Input| {
    match input {
        Input::Json(json) => check(from_json(&json)),
        Input::Members(members) => check(from_json(object(&members).as_bytes())),
        Input::Attributes(attributes, content_type, data) => {
            check(from_attributes(attributes, content_type, data));
        }
        Input::Request(headers, body) => {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                let name = format!("ce-{name}").parse::<HeaderName>();
                if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&value)) {
                    map.append(name, value);
                }
            }
            check(idem_http::cloud_event(&map, body));
        }
    }
});

fn object(members: &[(Name, Member)]) -> String {
    let members: Vec<_> = members
        .iter()
        .map(|(name, member)| {
            let (name, usual) = name.text();
            let name = serde_json::to_string(name).expect("a string");
            match member {
                Member::Usual => format!("{name}:{usual}"),
                Member::Text(text) => {
                    let text = serde_json::to_string(text).expect("a string");
                    format!("{name}:{text}")
                }
                Member::Raw(raw) => format!("{name}:{raw}"),
            }
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

fn check(event: Result<CloudEvent, DecodeError>) {
    let event = match event {
        Ok(event) => event,
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() < 400 && !text.contains('\n'), "{text}");
            return;
        }
    };
    assert!(!event.id.is_empty() && !event.source.is_empty() && !event.kind.is_empty());
    assert!(event.key.as_ref().is_none_or(|key| !key.is_empty()));
    let Ok(mut message) = Message::try_from(event) else {
        return;
    };
    // What is outside of these years is written as the nearest moment.
    let epoch = SystemTime::UNIX_EPOCH;
    let last = epoch + Duration::from_secs(253_402_300_799);
    message.created_at = message.created_at.clamp(epoch, last);
    let read = |event: Result<CloudEvent, _>| -> Message {
        let event = event.expect("what we wrote is an event");
        event.try_into().expect("what we wrote is a message")
    };
    let content_type = Some(message.content_type.clone());
    let data = message.payload.clone();
    let once = read(from_attributes(to_attributes(&message), content_type, data));
    assert_eq!(once.payload, message.payload);
    // Names of headers may change once. Then nothing does, apart from blanks in JSON.
    assert_eq!(once.headers.len(), message.headers.len());
    let content_type = Some(once.content_type.clone());
    let data = once.payload.clone();
    let again = read(from_attributes(to_attributes(&once), content_type, data));
    assert!(again == once, "{again:?}");
    let mut structured = read(from_json(&to_json(&once)));
    let line = to_json(&structured);
    assert_eq!(to_json(&read(from_json(&line))), line);
    structured.payload.clone_from(&once.payload);
    assert!(structured == once, "{structured:?}");
}
