use super::*;

/// Guards: the sensitive headers, the hand-written `Debug`, and that no credentials stay in the URL.
#[test]
fn no_secret_is_shown() {
    let publisher = HttpPublisher::new("http://user:secret@127.0.0.1/events?token=secret#secret")
        .unwrap()
        .header("x-token", "secret")
        .unwrap();
    let headers = format!("{:?}", publisher.headers);
    assert!(
        !headers.contains("secret") && !headers.contains("dXNlcjpzZWNyZXQ="),
        "{headers}"
    );
    assert_eq!(
        format!("{publisher:?}"),
        r#"HttpPublisher { host: Some("127.0.0.1"), path: "/events", timeout: 10s, concurrency: 8, .. }"#
    );
    assert_eq!(
        publisher.url.as_str(),
        "http://127.0.0.1/events?token=secret"
    );
}

#[test]
fn credentials_in_the_url_are_basic_authentication() {
    for (user, expected) in [
        ("user:pass@", Some("user:pass")),
        ("user@", Some("user:")),
        (":pass@", Some(":pass")),
        ("us%C3%A9r:p%40%3Ass@", Some("usér:p@:ss")),
        ("", None),
    ] {
        let publisher = HttpPublisher::new(&format!("http://{user}127.0.0.1/events")).unwrap();
        let expected = expected.map(|pair| format!("Basic {}", BASE64_STANDARD.encode(pair)));
        let sent = publisher.headers.get(AUTHORIZATION);
        assert_eq!(
            sent.map(|value| value.to_str().unwrap().to_owned()),
            expected
        );
        assert_eq!(publisher.url.as_str(), "http://127.0.0.1/events");
    }
}

#[test]
fn only_http_can_be_sent_to() {
    for url in ["", "/events", "ftp://127.0.0.1/", "http://"] {
        let error = HttpPublisher::new(url).unwrap_err();
        assert_eq!(error, HttpPublisherError::Url);
        assert!(error.to_string().contains("http://127.0.0.1:8080/events"));
    }
}

#[test]
fn what_can_be_no_header_is_refused() {
    for (name, value) in [("a b", "c"), ("", "c"), ("a", "b\nc")] {
        let publisher = HttpPublisher::new("http://127.0.0.1/").unwrap();
        let error = publisher.header(name, value).unwrap_err();
        assert_eq!(error, HttpPublisherError::Header);
    }
}
