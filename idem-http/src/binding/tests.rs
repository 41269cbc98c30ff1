use std::time::{Duration, SystemTime};

use idem_runtime::EventId;

use super::*;

fn message() -> Message {
    let id = EventId::new(uuid::Uuid::from_u128(7));
    let mut message = Message::new(id, "orders placed/é", "OrderPlaced", "{}");
    message.source = "/shop".into();
    message.created_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    message
}

/// The example of the specification, and what it says must be encoded.
#[test]
fn values_are_encoded_as_the_binding_says_and_read_back() {
    for (value, header) in [
        ("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
        ("a\"b%c\n\u{7f}", "a%22b%25c%0A%7F"),
        (
            "!#$&'()*+,-./:;<=>?@[]^_`{|}~",
            "!#$&'()*+,-./:;<=>?@[]^_`{|}~",
        ),
    ] {
        let mut message = message();
        message.headers.insert("value".into(), value.into());
        let headers = binary_mode(&message).unwrap();
        assert_eq!(headers["ce-value"], header);
        let event = cloud_event(&headers, message.payload.clone()).unwrap();
        assert_eq!(Message::try_from(event), Ok(message));
    }
}

/// An endpoint's own tracing looks for the context under its own name.
#[test]
fn the_trace_context_is_sent_without_the_prefix_too_and_nothing_else_is() {
    let names = ["traceparent", "tracestate", "tenant"];
    let mut message = message();
    message.headers = names.map(|name| (name.into(), name.into())).into();
    let sent = binary_mode(&message).unwrap();
    for name in names {
        assert_eq!(sent[format!("ce-{name}")], name);
    }
    let alone = names.map(|name| sent.get(name).is_some());
    assert_eq!(alone, [true, true, false]);
}

/// Guards: what can't be sent is a dead letter with the reason, and stops no other event.
#[test]
fn what_no_header_can_hold_is_refused_for_ever() {
    let mut message = message();
    message.content_type = "text/\nsecret".into();
    let error = binary_mode(&message).unwrap_err();
    assert_eq!(
        error,
        PublishError::permanent("the content type can't be an HTTP header")
    );
}

/// The quoted value is an example of the specification.
#[test]
fn an_event_of_another_producer_is_read_in_both_modes() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("CE-SpecVersion", "1.0"),
        ("ce-id", "A234-1234-1234"),
        ("ce-source", "/mycontext/%E2%82%AC"),
        ("ce-type", "\"Euro%20\\\"\\\\%E2%82%AC\""),
        ("authorization", "secret"),
        ("content-type", "text/plain; charset=utf-8"),
    ] {
        headers.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    let event = cloud_event(&headers, b"hello".to_vec()).unwrap();
    assert_eq!(
        (event.source.as_str(), event.kind.as_str()),
        ("/mycontext/€", "Euro \"\\€")
    );
    assert_eq!(
        event.content_type.as_deref(),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(
        (event.data.as_slice(), event.headers.len()),
        (b"hello".as_slice(), 0)
    );

    let json = br#"{"specversion":"1.0","id":"1","source":"/","type":"T","data":{"n":1}}"#;
    let mut headers = HeaderMap::new();
    let structured = "Application/CloudEvents+JSON; charset=UTF-8";
    headers.insert(CONTENT_TYPE, structured.parse().unwrap());
    let event = cloud_event(&headers, json.to_vec()).unwrap();
    assert_eq!(
        (event.id.as_str(), event.data.as_slice()),
        ("1", br#"{"n":1}"#.as_slice())
    );
}

#[test]
fn what_is_no_event_is_refused() {
    let no_event = cloud_event(&HeaderMap::new(), Vec::new());
    assert_eq!(no_event, Err(DecodeError::Missing("specversion")));
    let mut headers = HeaderMap::new();
    headers.append("ce-id", "1".parse().unwrap());
    headers.append("ce-id", "2".parse().unwrap());
    let twice = cloud_event(&headers, Vec::new());
    assert_eq!(twice, Err(DecodeError::Repeated("id".into())));
    headers.insert("ce-id", "%FF".parse().unwrap());
    let not_text = cloud_event(&headers, Vec::new());
    assert_eq!(not_text, Err(DecodeError::NotText("id".into())));
}
