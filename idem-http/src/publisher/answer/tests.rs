use http::HeaderValue;

use super::*;

fn answer(judge: &Judge, status: u16) -> Result<(), PublishError> {
    let status = StatusCode::from_u16(status).unwrap();
    judge.verdict(status, &HeaderMap::new(), false)
}

fn kind(verdict: &Result<(), PublishError>) -> &'static str {
    match verdict {
        Ok(()) => "confirmed",
        Err(error) if error.is_permanent() => "permanent",
        Err(error) if error.is_unavailable() => "unavailable",
        Err(_) => "retryable",
    }
}

/// Guards: what concerns every event uses up no attempts, and what concerns one goes on its account.
#[test]
fn each_answer_concerns_the_event_or_the_endpoint() {
    let expected = |status: u16| match status {
        200..300 => "confirmed",
        300..400 | 401 | 403 | 404 | 405 | 407 | 410 | 429 | 502 | 503 | 504 => "unavailable",
        408 | 425 | 500.. | ..200 => "retryable",
        400..500 => "permanent",
    };
    for status in 100..1000 {
        assert_eq!(
            kind(&answer(&Judge::default(), status)),
            expected(status),
            "{status}"
        );
    }
}

/// Guards: one event that a firewall refuses does not stop the others, which are confirmed
/// meanwhile; and an endpoint that refuses all costs one attempt of one event.
#[test]
fn the_other_events_tell_whom_an_answer_concerns() {
    for status in [403, 404, 502, 504] {
        let judge = Judge::default();
        let answers = [
            status, 200, status, status, 500, status, 204, 200, status, status,
        ];
        let verdicts = answers.map(|status| kind(&answer(&judge, status)));
        assert_eq!(
            verdicts,
            [
                "unavailable",
                "confirmed",
                "retryable",
                "unavailable",
                "retryable",
                "unavailable",
                "confirmed",
                "confirmed",
                "retryable",
                "unavailable",
            ],
            "{status}"
        );
    }
}

/// Guards: a token that expires concerns all events, however many were confirmed before.
#[test]
fn credentials_and_url_are_the_same_for_every_event() {
    let judge = Judge::default();
    for status in [401, 405, 407, 410, 301, 429, 503] {
        answer(&judge, 200).unwrap();
        assert_eq!(kind(&answer(&judge, status)), "unavailable", "{status}");
    }
}

#[test]
fn the_reason_says_what_to_set_right() {
    let judge = Judge::default();
    for (status, hint) in [
        (401, "valid ones"),
        (403, "Allow these credentials"),
        (404, "Check its path"),
        (405, "Check its path"),
        (407, "publisher's client"),
        (410, "another URL"),
        (308, "its new URL"),
    ] {
        let error = answer(&judge, status).unwrap_err();
        assert!(
            error
                .reason()
                .starts_with(&format!("the endpoint answered {status}: "))
        );
        assert!(error.reason().contains(hint), "{error}");
    }
    let redirected = judge.verdict(StatusCode::OK, &HeaderMap::new(), true);
    assert_eq!(kind(&redirected), "unavailable");
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let parse = |value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().unwrap());
        retry_after(&headers)
    };
    assert_eq!(parse(" 120 "), Some(Duration::from_mins(2)));
    // Nothing to wait for: the relay's own pause must not become shorter.
    for nothing in ["", "0", "soon", "-1", "Wed, 21 Oct 2015 07:28:00 GMT"] {
        assert_eq!(parse(nothing), None, "{nothing}");
    }
    for long in ["86401", "99999999999999999999999"] {
        assert_eq!(parse(long), Some(LONGEST_WAIT));
    }
    let in_an_hour = httpdate::fmt_http_date(SystemTime::now() + Duration::from_hours(1));
    let wait = parse(&in_an_hour).unwrap();
    assert!((3_590..=3_600).contains(&wait.as_secs()), "{wait:?}");
    assert_eq!(retry_after(&HeaderMap::new()), None);
}

/// Guards: a verdict carries the time that the endpoint asks for.
#[test]
fn retry_after_is_part_of_the_verdict() {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
    for status in [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::INTERNAL_SERVER_ERROR,
    ] {
        let error = Judge::default()
            .verdict(status, &headers, false)
            .unwrap_err();
        assert_eq!(
            error.retry_after(),
            Some(Duration::from_secs(7)),
            "{status}"
        );
    }
}
