//! Events to an HTTP endpoint.

use std::collections::HashMap;
use std::time::Duration;

use idem_runtime::broker::Http;
use idem_runtime::{RelayStats, count_dead_letters, dead_letters};

use crate::http_server::{Answer, Request, Server};
use crate::receivers::within;
use crate::sqlite::suite::{emit, relay};
use crate::sqlite::{Db, start};

fn n(request: &Request) -> u64 {
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    body["n"].as_u64().unwrap()
}

fn numbers(server: &Server) -> Vec<u64> {
    server.requests().iter().map(n).collect()
}

/// Drains what `events` emits to `server`.
async fn drain(server: &Server, events: &[(Option<&str>, u32)]) -> (Db, RelayStats) {
    let db = start().await;
    emit(&db.pool, events).await.unwrap();
    let relay = relay(&db.pool, Http::new(&server.url).unwrap()).max_attempts(5);
    let relayed = within(relay.drain()).await.unwrap();
    (db, relayed)
}

/// Guards: the binary mode of the HTTP binding, with its encoding of values.
#[tokio::test]
async fn an_event_is_a_post_in_binary_mode() {
    let server = Server::start(|_, _| Answer::Status(204, "")).await;
    let db = start().await;
    let ids = emit(&db.pool, &[(Some("é \"1\" 100%"), 1)]).await.unwrap();
    let publisher = Http::new(&server.url)
        .unwrap()
        .header("authorization", "Bearer abc")
        .unwrap();
    within(relay(&db.pool, publisher).drain()).await.unwrap();
    let requests = server.requests();
    let [request] = requests.as_slice() else {
        panic!("{requests:?}");
    };
    assert_eq!(request.line, "POST /events HTTP/1.1");
    assert_eq!(request.body, r#"{"key":"é \"1\" 100%","n":1}"#.as_bytes());
    let id = ids[0].to_string();
    for (name, value) in [
        ("content-type", "application/json"),
        ("authorization", "Bearer abc"),
        ("ce-specversion", "1.0"),
        ("ce-id", id.as_str()),
        ("ce-source", "/happenings"),
        ("ce-type", "Happened"),
        ("ce-topic", "happenings"),
        ("ce-partitionkey", "%C3%A9%20%221%22%20100%25"),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    assert!(request.header("ce-time").unwrap().ends_with('Z'));
    assert_eq!(request.header("ce-datacontenttype"), None);
}

/// Guards: no more of an answer's body is read than is worth a connection. It would go on until the
/// request's timeout.
#[tokio::test]
async fn an_answer_without_an_end_confirms_by_its_head() {
    let server = Server::start(|_, _| Answer::Endless).await;
    let db = start().await;
    emit(&db.pool, &[(Some("a"), 1), (Some("a"), 2)])
        .await
        .unwrap();
    let publisher = Http::new(&server.url)
        .unwrap()
        .timeout(Duration::from_hours(1));
    let relayed = within(relay(&db.pool, publisher).drain()).await.unwrap();
    assert_eq!((relayed.published, relayed.failed), (2, 0));
}

/// Guards: 5xx, 408 and 429 are retryable.
#[tokio::test]
async fn what_may_pass_is_tried_again_under_the_same_id() {
    for status in [500, 503, 429, 408, 302] {
        let server = Server::start(move |_, before| match before {
            0 | 1 => Answer::Status(status, "location: /elsewhere\r\n"),
            _ => Answer::Status(200, ""),
        })
        .await;
        let (_bed, relayed) = drain(&server, &[(Some("a"), 1)]).await;
        assert_eq!((relayed.published, relayed.failed), (1, 2), "{status}");
        let ids: Vec<_> = server
            .requests()
            .iter()
            .map(|request| request.header("ce-id").unwrap().to_owned())
            .collect();
        assert_eq!(ids, [ids[0].as_str(); 3]);
    }
}

/// Guards: any other 4xx is permanent.
#[tokio::test]
async fn what_is_refused_becomes_a_dead_letter_at_once() {
    let server = Server::start(|request, _| match n(request) {
        1 => Answer::Status(422, ""),
        _ => Answer::Status(202, ""),
    })
    .await;
    let (db, relayed) = drain(&server, &[(Some("a"), 1), (Some("a"), 2)]).await;
    assert_eq!((relayed.published, relayed.dead_lettered), (1, 1));
    assert_eq!(numbers(&server), [1, 2]);
    let letters = dead_letters(&db.pool, 0, 10).await.unwrap();
    assert_eq!(letters[0].reason, "the endpoint answered 422");
}

/// Guards: `Retry-After` is longer than the backoff, which is at most 20 ms here.
#[tokio::test]
async fn retry_after_is_honoured() {
    let server = Server::start(|_, before| match before {
        0 => Answer::Status(429, "retry-after: 1\r\n"),
        _ => Answer::Status(200, ""),
    })
    .await;
    let begun = std::time::Instant::now();
    let (_bed, relayed) = drain(&server, &[(None, 1)]).await;
    assert_eq!((relayed.published, relayed.failed), (1, 1));
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

/// Guards: no answer is no confirmation. The endpoint sees the event twice, and knows it by its ID.
#[tokio::test]
async fn a_connection_cut_after_the_request_makes_the_event_come_again() {
    let server = Server::start(|_, before| match before {
        0 => Answer::Cut,
        _ => Answer::Status(200, ""),
    })
    .await;
    let (_bed, relayed) = drain(&server, &[(Some("a"), 1), (Some("a"), 2)]).await;
    assert_eq!(relayed.published, 2);
    assert_eq!(numbers(&server), [1, 1, 2]);
    let requests = server.requests();
    assert_eq!(requests[0].header("ce-id"), requests[1].header("ce-id"));
}

/// Guards: each request has a timeout.
#[tokio::test]
async fn an_endpoint_that_does_not_answer_in_time_is_asked_again() {
    let server = Server::start(|_, before| match before {
        0 => Answer::Silence,
        _ => Answer::Status(200, ""),
    })
    .await;
    let db = start().await;
    emit(&db.pool, &[(None, 1)]).await.unwrap();
    let publisher = Http::new(&server.url)
        .unwrap()
        .timeout(Duration::from_millis(200));
    let relayed = within(relay(&db.pool, publisher).drain()).await.unwrap();
    assert_eq!((relayed.published, relayed.failed), (1, 1));
}

/// Guards: a connection that fails is an attempt.
#[tokio::test]
async fn an_endpoint_that_is_not_there_makes_dead_letters_in_the_end() {
    let server = Server::start(|_, _| Answer::Cut).await;
    let (db, relayed) = drain(&server, &[(None, 1)]).await;
    assert_eq!((relayed.failed, relayed.dead_lettered), (4, 1));
    assert_eq!(count_dead_letters(&db.pool).await.unwrap(), 1);
}

/// Guards: the messages of a key go one after the other, and after a failure no further.
#[tokio::test]
async fn each_key_arrives_in_order_and_keys_side_by_side() {
    let server = Server::start(|_, before| match before % 3 {
        1 => Answer::Status(500, ""),
        _ => Answer::Status(200, ""),
    })
    .await;
    let events: Vec<_> = (0..60)
        .map(|n| ([Some("a"), Some("b"), None][n as usize % 3], n))
        .collect();
    let db = start().await;
    emit(&db.pool, &events).await.unwrap();
    let relay = relay(&db.pool, Http::new(&server.url).unwrap()).max_attempts(1_000);
    assert_eq!(within(relay.drain()).await.unwrap().published, 60);
    let mut arrived: HashMap<_, Vec<u64>> = HashMap::new();
    for (request, before) in server.requests().iter().zip(0..) {
        if before % 3 != 1 {
            let key = request.header("ce-partitionkey").map(str::to_owned);
            arrived.entry(key).or_default().push(n(request));
        }
    }
    for (key, first) in [("a", 0), ("b", 1)] {
        let expected: Vec<u64> = (first..60).step_by(3).collect();
        assert_eq!(arrived[&Some(key.to_owned())], expected);
    }
    assert_eq!(arrived[&None].len(), 20);
}

/// Guards: requests of different keys do not wait for each other. The endpoint answers the first
/// one only when it has seen the last.
#[tokio::test]
async fn a_slow_key_does_not_delay_another() {
    let server = Server::start(|request, _| match n(request) {
        1 => Answer::Silence,
        _ => Answer::Status(200, ""),
    })
    .await;
    let db = start().await;
    emit(&db.pool, &[(Some("slow"), 1), (Some("a"), 2), (None, 3)])
        .await
        .unwrap();
    let publisher = Http::new(&server.url).unwrap();
    let draining = tokio::spawn(relay(&db.pool, publisher).drain());
    let arrived = async {
        while server.requests().len() < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), arrived)
        .await
        .expect("the others wait for the slow one");
    draining.abort();
}
