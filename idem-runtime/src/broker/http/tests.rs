use super::*;

/// The example of the specification, and what it says must be encoded.
#[test]
fn values_are_encoded_as_the_binding_says() {
    for (value, header) in [
        ("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
        ("a\"b%c\n\u{7f}", "a%22b%25c%0A%7F"),
        (
            "!#$&'()*+,-./:;<=>?@[]^_`{|}~",
            "!#$&'()*+,-./:;<=>?@[]^_`{|}~",
        ),
    ] {
        assert_eq!(percent_encode(value), header);
    }
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let parse = |value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().unwrap());
        retry_after(&headers)
    };
    assert_eq!(parse(" 120 "), Duration::from_mins(2));
    assert_eq!(parse("soon"), Duration::ZERO);
    assert_eq!(parse("Wed, 21 Oct 2015 07:28:00 GMT"), Duration::ZERO);
    let in_an_hour = httpdate::fmt_http_date(SystemTime::now() + Duration::from_hours(1));
    let wait = parse(&in_an_hour);
    assert!((3_590..=3_600).contains(&wait.as_secs()), "{wait:?}");
    assert_eq!(retry_after(&HeaderMap::new()), Duration::ZERO);
}

/// Guards: the sensitive headers and the hand-written `Debug`.
#[test]
fn no_secret_is_shown() {
    let http = Http::new("http://user:secret@127.0.0.1/events?token=secret")
        .unwrap()
        .header("authorization", "secret")
        .unwrap();
    assert!(!format!("{http:?} {:?}", http.headers).contains("secret"));
    assert_eq!(
        format!("{http:?}"),
        r#"Http { host: Some("127.0.0.1"), path: "/events", timeout: 10s, concurrency: 8, .. }"#
    );
}

/// An endpoint's own tracing looks for the context under its own name.
#[test]
fn the_trace_context_stands_beside_its_attribute_and_nothing_else_does() {
    let headers = ["traceparent", "tracestate", "tenant"];
    let message = Message {
        id: crate::event::EventId::new(uuid::Uuid::nil()),
        topic: "t".into(),
        key: None,
        kind: "T".into(),
        payload: Vec::new(),
        content_type: "application/json".into(),
        headers: headers.map(|name| (name.into(), name.into())).into(),
        created_at: SystemTime::UNIX_EPOCH,
    };
    let sent = binary_mode(&message, None).unwrap();
    for name in headers {
        assert_eq!(sent[format!("ce-{name}")], name);
    }
    let alone = headers.map(|name| sent.get(name).is_some());
    assert_eq!(alone, [true, true, false]);
}

#[test]
fn only_http_can_be_sent_to() {
    for url in ["", "/events", "ftp://127.0.0.1/"] {
        let error = Http::new(url).unwrap_err();
        assert_eq!(error, HttpError::Url);
        assert!(error.to_string().contains("http://127.0.0.1:8080/events"));
    }
}
