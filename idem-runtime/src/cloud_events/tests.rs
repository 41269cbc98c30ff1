use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use uuid::Uuid;

use super::*;
use crate::event::EventId;
use crate::message::{Headers, Message, Received};

fn message(headers: &[(&str, &str)], payload: &str) -> Message {
    let id = EventId::new(Uuid::from_u128(7));
    let mut message = Message::new(id, "orders placed/é", "OrderPlaced", payload);
    message.source = "urn:uuid:00000000-0000-0000-0000-000000000009".into();
    message.key = Some("o-1".into());
    message.headers = headers
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    message.created_at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_709_210_096_000_042);
    message
}

fn line(message: &Message) -> String {
    String::from_utf8(to_json(message)).unwrap()
}

fn through_json(message: &Message) -> Message {
    from_json(&to_json(message)).unwrap().try_into().unwrap()
}

fn through_attributes(message: &Message) -> Message {
    let content_type = Some(message.content_type.clone());
    let attributes = to_attributes(message);
    let event = from_attributes(attributes, content_type, message.payload.clone());
    event.unwrap().try_into().unwrap()
}

#[test]
fn an_event_is_one_line_of_the_json_event_format() {
    let message = message(
        &[("causation", "c-1"), ("traceparent", "00-1-2-01")],
        "{\"total\":\n12345678901234567890.10}",
    );
    assert_eq!(
        line(&message),
        r#"{"specversion":"1.0","id":"00000000-0000-0000-0000-000000000007","source":"urn:uuid:00000000-0000-0000-0000-000000000009","type":"OrderPlaced","time":"2024-02-29T12:34:56.000042Z","topic":"orders placed/é","partitionkey":"o-1","causation":"c-1","traceparent":"00-1-2-01","datacontenttype":"application/json","data":{"total": 12345678901234567890.10}}"#
    );
}

#[test]
fn what_is_not_json_travels_in_base64() {
    let mut message = message(&[], "{\"half\":");
    assert!(line(&message).ends_with(r#","data_base64":"eyJoYWxmIjo="}"#));
    message.content_type = "application/octet-stream".into();
    message.payload = vec![0, 255];
    assert!(
        line(&message)
            .ends_with(r#","datacontenttype":"application/octet-stream","data_base64":"AP8="}"#)
    );
    message.content_type = "application/problem+json; charset=utf-8".into();
    message.payload = b"null".to_vec();
    assert!(line(&message).ends_with(r#","data":null}"#));
}

/// Guards: the payload is read before its line ends are replaced. Otherwise a line end inside a
/// string, which is not JSON, would silently become a blank. Found by the fuzz target `envelopes`.
#[test]
fn a_payload_that_is_not_json_is_never_made_json() {
    for payload in ["\"a\nb\"", "\"a\rb\"", "1\u{0}", "\u{feff}1", ""] {
        let base64 = BASE64_STANDARD.encode(payload);
        let end = format!(r#","data_base64":"{base64}"}}"#);
        assert!(line(&message(&[], payload)).ends_with(&end));
    }
}

/// Guards: the set of names that are taken. No header can pose as an attribute of this crate, or
/// hide another header.
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
    let extensions: Vec<_> = to_attributes(&message).split_off(7);
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

/// Text that someone may put anywhere: what JSON, HTTP and terminals treat in a way of their own.
fn odd_text(rng: &mut StdRng) -> String {
    const ODD: [char; 24] = [
        'a', 'Z', '7', ' ', '-', '_', '.', '/', '%', '"', '\\', '\'', '<', '=', ';', '\n', '\r',
        '\t', '\0', '\u{7f}', 'é', '日', '\u{202e}', '😀',
    ];
    let length = rng.random_range(0..12);
    (0..length).map(|_| *ODD.choose(rng).unwrap()).collect()
}

fn odd_message(rng: &mut StdRng) -> Message {
    let payload = match rng.random_range(0..4) {
        0 => serde_json::to_string(&odd_text(rng)).unwrap(),
        1 => format!(
            r#"{{"n":{},"wide":12345678901234567890.10}}"#,
            rng.random::<i64>()
        ),
        2 => "null".into(),
        _ => odd_text(rng),
    };
    let id = EventId::new(Uuid::from_u128(rng.random()));
    let (topic, kind) = (odd_text(rng), odd_text(rng) + "T");
    let mut message = Message::new(id, topic, kind, payload.trim());
    message.source = odd_text(rng) + "/";
    message.key = rng.random_bool(0.7).then(|| odd_text(rng) + "k");
    message.content_type = match rng.random_range(0..4) {
        0 | 1 => "application/json".into(),
        2 => "application/octet-stream".into(),
        _ => odd_text(rng),
    };
    if message.content_type == "application/octet-stream" {
        message.payload = (0..20).map(|_| rng.random()).collect();
    }
    let nanos = *[0, 42_000, 7].choose(rng).unwrap();
    let since = Duration::new(rng.random_range(0..253_402_300_800), nanos);
    message.created_at = SystemTime::UNIX_EPOCH + since;
    message
}

/// Guards: both decoders, against both encoders.
#[test]
fn what_was_written_is_read_as_the_same_message() {
    let mut rng = StdRng::seed_from_u64(7);
    for _ in 0..5_000 {
        let mut message = odd_message(&mut rng);
        for name in ["causation", "subject", "dataschema", "7", "tenantid", "xid"] {
            if rng.random() {
                message.headers.insert(name.into(), odd_text(&mut rng));
            }
        }
        assert!(
            through_attributes(&message) == message,
            "{:?}",
            line(&message)
        );
        if is_pretty(&message) {
            continue;
        }
        assert!(through_json(&message) == message, "{:?}", line(&message));
    }
}

/// Whether the payload has a line end that JSON allows.
fn is_pretty(message: &Message) -> bool {
    message.payload.contains(&b'\n') || message.payload.contains(&b'\r')
}

/// Guards: each header keeps a place of its own, and what travelled once travels unchanged.
#[test]
fn of_odd_headers_every_value_comes_back_and_names_change_once() {
    let mut rng = StdRng::seed_from_u64(8);
    let names = [
        "id",
        "ID",
        "Data",
        "topic",
        "xid",
        "",
        "x",
        "Tenant-ID",
        "tenantid",
        "é",
    ];
    for _ in 0..2_000 {
        let mut message = odd_message(&mut rng);
        message.payload = b"1".to_vec();
        for _ in 0..rng.random_range(0..8) {
            let name = if rng.random() {
                (*names.choose(&mut rng).unwrap()).to_owned()
            } else {
                odd_text(&mut rng)
            };
            message.headers.insert(name, odd_text(&mut rng));
        }
        let once = through_json(&message);
        assert_eq!(values(&once), values(&message));
        assert!(once == through_attributes(&message));
        assert!(once == through_json(&once));
    }
}

fn values(message: &Message) -> Vec<&String> {
    let mut values: Vec<_> = message.headers.values().collect();
    values.sort_unstable();
    values
}

#[test]
fn an_empty_ordering_key_comes_back_as_none() {
    let mut message = message(&[], "1");
    message.key = Some(String::new());
    assert_eq!(through_json(&message).key, None);
    assert_eq!(through_attributes(&message).key, None);
}

/// The first example of the JSON event format, whose extensions are not all text.
#[test]
fn an_event_of_another_program_is_read() {
    let json = br#"{
        "specversion" : "1.0",
        "type" : "com.example.someevent",
        "source" : "/mycontext",
        "subject": null,
        "id" : "C234-1234-1234",
        "time" : "2018-04-05T17:31:00Z",
        "comexampleextension1" : "value",
        "comexampleothervalue" : 5,
        "unsetextension": null,
        "datacontenttype" : "application/xml",
        "data" : "<much wow=\"xml\"/>"
    }"#;
    let event = from_json(json).unwrap();
    assert_eq!(
        (
            event.id.as_str(),
            event.source.as_str(),
            event.kind.as_str()
        ),
        ("C234-1234-1234", "/mycontext", "com.example.someevent")
    );
    let time = SystemTime::UNIX_EPOCH + Duration::from_mins(25_382_491);
    assert_eq!(
        (event.time, event.topic.clone(), event.key.clone()),
        (Some(time), None, None)
    );
    assert_eq!(event.data, br#"<much wow="xml"/>"#);
    let headers = [
        ("comexampleextension1", "value"),
        ("comexampleothervalue", "5"),
    ];
    let headers: Headers = headers
        .map(|(name, value)| (name.into(), value.into()))
        .into();
    assert_eq!(event.headers, headers);

    let received = Received::<Vec<u8>>::from(event.clone());
    assert_eq!((received.id, received.headers), (event.id.clone(), headers));
    assert_eq!(received.data, event.data);
    assert_eq!(Message::try_from(event), Err(DecodeError::NotAnEventId));
}

#[test]
fn what_an_event_leaves_out_has_a_default_or_is_asked_for() {
    let id = "00000000-0000-0000-0000-000000000007";
    let attributes = [
        ("specversion", "1.0"),
        ("ID", id),
        ("source", "/"),
        ("type", "T"),
    ];
    let event = from_attributes(attributes, None, Vec::new()).unwrap();
    assert_eq!(
        (event.id.as_str(), event.content_type.as_deref()),
        (id, None)
    );
    let missing = Message::try_from(event.clone()).unwrap_err();
    assert_eq!(missing, DecodeError::Missing("topic"));
    let mut named = event;
    named.topic = Some("t".into());
    let message = Message::try_from(named.clone()).unwrap();
    assert_eq!(message.content_type, "application/octet-stream");
    // An ID in another form would go on under another ID.
    for id in [
        "00000000000000000000000000000007",
        "0000000A-0000-0000-0000-000000000007",
    ] {
        named.id = id.into();
        let error = Message::try_from(named.clone()).unwrap_err();
        assert_eq!(error, DecodeError::NotAnEventId);
    }
    let json = br#"{"specversion":"1.0","id":"1","source":"/","type":"T"}"#;
    let event = from_json(json).unwrap();
    assert_eq!(event.content_type.as_deref(), Some("application/json"));
    assert_eq!(event.data, b"");
}

#[test]
fn what_is_no_event_is_refused_with_the_reason() {
    let with = |more: &str| {
        let json = format!(r#"{{"specversion":"1.0","id":"1","source":"/","type":"T"{more}}}"#);
        from_json(json.as_bytes()).err()
    };
    assert_eq!(with(""), None);
    for (more, error) in [
        (r#","id":"2""#, DecodeError::Repeated("id".into())),
        (r#","a":"2","a":"2""#, DecodeError::Repeated("a".into())),
        (
            r#","data":1,"data":1"#,
            DecodeError::Repeated("data".into()),
        ),
        (r#","data":1,"data_base64":"""#, DecodeError::TwoPayloads),
        (r#","data_base64":"secret!""#, DecodeError::Base64),
        (
            r#","data_base64":7"#,
            DecodeError::NotText("data_base64".into()),
        ),
        (r#","time":"yesterday""#, DecodeError::Time),
        (r#","time":0"#, DecodeError::NotText("time".into())),
        (
            r#","datacontenttype":{}"#,
            DecodeError::NotText("datacontenttype".into()),
        ),
    ] {
        assert_eq!(with(more), Some(error), "{more}");
    }
    let base64_alone = r#","data":null,"data_base64":"AP8=""#;
    assert_eq!(with(base64_alone), None);
    for (json, error) in [
        (
            r#"{"id":"1","source":"/","type":"T"}"#,
            DecodeError::Missing("specversion"),
        ),
        (r#"{"specversion":"0.3","id":"1"}"#, DecodeError::Version),
        (
            r#"{"specversion":"1.0","source":"/","type":"T"}"#,
            DecodeError::Missing("id"),
        ),
        (
            r#"{"specversion":"1.0","id":"","type":"T"}"#,
            DecodeError::Missing("id"),
        ),
        (
            r#"{"specversion":"1.0","id":null,"type":"T"}"#,
            DecodeError::Missing("id"),
        ),
        (
            r#"{"specversion":"1.0","id":"1","type":"T"}"#,
            DecodeError::Missing("source"),
        ),
        (
            r#"{"specversion":"1.0","id":"1","source":"/"}"#,
            DecodeError::Missing("type"),
        ),
        (
            r#""secret""#,
            DecodeError::NotAnObject { line: 1, column: 8 },
        ),
        ("{\n} 1", DecodeError::NotAnObject { line: 2, column: 3 }),
    ] {
        assert_eq!(from_json(json.as_bytes()), Err(error), "{json}");
    }
    let twice = [("specversion", "1.0"), ("id", "1"), ("ID", "2")];
    let error = from_attributes(twice, None, Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "not a CloudEvent: `id` is there twice");
}

/// Guards: an error is logged and stored with a dead letter. A name in it comes from outside.
#[test]
fn an_error_shows_no_payload_and_only_the_beginning_of_a_name() {
    let error = from_json(br#"{"specversion":"1.0","secret":"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "not a CloudEvent: not one JSON object, at line 1 column 30"
    );
    let error = DecodeError::Repeated(format!("a\n{}", "b".repeat(50)));
    let expected = format!(
        r"not a CloudEvent: `a\n{}...` is there twice",
        "b".repeat(38)
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn an_event_shows_neither_payload_nor_key_nor_headers() {
    let mut event = CloudEvent::new("1", "/", "T", "secret");
    event.key = Some("secret".into());
    event.headers.insert("a".into(), "secret".into());
    assert_eq!(
        format!("{event:?}"),
        r#"CloudEvent { id: "1", source: "/", kind: "T", .. }"#
    );
}
