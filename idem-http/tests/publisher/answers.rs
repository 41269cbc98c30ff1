//! What is sent, and what follows from the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use idem_http::HttpPublisher;
use tokio::sync::Semaphore;

use crate::server::{Answer, Server};
use crate::{failure, message, publish};

/// Guards: the binary mode of the HTTP binding, with its encoding of values.
#[tokio::test]
async fn an_event_is_a_post_in_binary_mode() {
    let server = Server::start(|_, _| Answer::Status(204, "")).await;
    let publisher = HttpPublisher::new(&server.url())
        .unwrap()
        .header("authorization", "Bearer abc")
        .unwrap();
    let message = message(Some("é \"1\" 100%"));
    let id = message.id.to_string();
    assert_eq!(publish(&publisher, vec![message]).await, [Some(Ok(()))]);
    let requests = server.requests();
    let [request] = requests.as_slice() else {
        panic!("{requests:?}");
    };
    assert_eq!(request.line, "POST /events HTTP/1.1");
    assert_eq!(request.body, br#"{"n":1}"#);
    for (name, value) in [
        ("content-type", "application/json"),
        ("authorization", "Bearer abc"),
        ("ce-specversion", "1.0"),
        ("ce-id", id.as_str()),
        ("ce-source", "urn:uuid:00000000-0000-0000-0000-000000000009"),
        ("ce-type", "Happened"),
        ("ce-topic", "happenings"),
        ("ce-partitionkey", "%C3%A9%20%221%22%20100%25"),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    assert!(request.header("ce-time").unwrap().ends_with('Z'));
    assert_eq!(request.header("ce-datacontenttype"), None);
}

/// Guards: the URL of the answer is compared with the one that was asked, which has no credentials.
#[tokio::test]
async fn credentials_in_the_url_are_sent_and_the_answer_counts() {
    let server = Server::start(|_, _| Answer::Status(200, "")).await;
    let url = server.url().replace("://", "://user:p%40ss@");
    let publisher = HttpPublisher::new(&format!("{url}?tenant=7#part")).unwrap();
    let verdicts = publish(&publisher, vec![message(None)]).await;
    assert_eq!(verdicts, [Some(Ok(()))]);
    let requests = server.requests();
    assert_eq!(requests[0].line, "POST /events?tenant=7 HTTP/1.1");
    // "user:p@ss"
    let sent = requests[0].header("authorization");
    assert_eq!(sent, Some("Basic dXNlcjpwQHNz"));
}

/// Guards: no more of an answer's body is read than is worth a connection. It would go on until the
/// request's timeout.
#[tokio::test]
async fn an_answer_without_an_end_confirms_by_its_head() {
    for head_alone in [false, true] {
        let server = Server::start(move |_, _| {
            if head_alone {
                Answer::HeadAlone
            } else {
                Answer::Endless
            }
        })
        .await;
        let publisher = HttpPublisher::new(&server.url())
            .unwrap()
            .timeout(Duration::from_hours(1));
        let messages = vec![message(Some("a")), message(Some("a"))];
        let verdicts = publish(&publisher, messages).await;
        assert_eq!(verdicts, [Some(Ok(())), Some(Ok(()))]);
    }
}

/// Guards: connections are used again, for which the answer must be read.
#[tokio::test]
async fn an_answer_that_ends_leaves_its_connection_for_the_next_event() {
    let server = Server::start(|_, _| Answer::Status(200, "")).await;
    let publisher = HttpPublisher::new(&server.url()).unwrap();
    let messages = (0..50).map(|_| message(Some("a"))).collect();
    let verdicts = publish(&publisher, messages).await;
    assert!(verdicts.iter().all(|verdict| *verdict == Some(Ok(()))));
    assert_eq!(server.connections(), 1);
}

/// Guards: what each kind of answer becomes, once over a socket. All statuses are in the unit
/// tests.
#[tokio::test]
async fn an_answer_says_whether_the_event_or_the_endpoint_fails() {
    for (status, headers, after) in [
        (401, "", None),
        (503, "retry-after: 7\r\n", Some(Duration::from_secs(7))),
        (429, "retry-after: 1\r\n", Some(Duration::from_secs(1))),
        (301, "location: /elsewhere\r\n", None),
    ] {
        let server = Server::start(move |_, _| Answer::Status(status, headers)).await;
        let error = failure(&HttpPublisher::new(&server.url()).unwrap()).await;
        assert!(error.is_unavailable(), "{status}");
        assert_eq!(error.retry_after(), after);
        assert_eq!(server.requests().len(), 1, "followed a redirect");
    }
    let server = Server::start(|_, _| Answer::Status(422, "")).await;
    let error = failure(&HttpPublisher::new(&server.url()).unwrap()).await;
    assert!(error.is_permanent());
    assert_eq!(
        error.reason(),
        "the endpoint answered 422: it does not accept this event. The endpoint's log may say why"
    );
    let server = Server::start(|_, _| Answer::Status(500, "")).await;
    let error = failure(&HttpPublisher::new(&server.url()).unwrap()).await;
    assert!(!error.is_permanent() && !error.is_unavailable());
}

/// Guards: once an endpoint limits its rate, it gets the requests that were begun and no others.
#[tokio::test]
async fn an_endpoint_that_limits_its_rate_is_left_alone() {
    let server = Server::start(|_, _| Answer::Status(429, "retry-after: 1\r\n")).await;
    let publisher = HttpPublisher::new(&server.url()).unwrap().concurrency(2);
    let verdicts = publish(&publisher, (0..100).map(|_| message(None)).collect()).await;
    let failed = verdicts.iter().flatten().count();
    assert_eq!(failed, server.requests().len());
    assert!(failed <= 2, "{failed}");
}

/// Guards: a client that follows redirects posts, in the end, to someone else.
#[tokio::test]
async fn an_answer_after_a_redirect_confirms_nothing() {
    let server = Server::start(|request, _| {
        if request.line.contains("/events") {
            Answer::Status(307, "location: /elsewhere\r\n")
        } else {
            Answer::Status(200, "")
        }
    })
    .await;
    let publisher = HttpPublisher::new(&server.url())
        .unwrap()
        .client(reqwest::Client::new());
    let error = failure(&publisher).await;
    assert_eq!(server.requests().len(), 2);
    assert!(error.is_unavailable());
    assert!(error.reason().contains("after a redirect"), "{error}");
    // A circle, which the client gives up.
    let server = Server::start(|_, _| Answer::Status(307, "location: /events\r\n")).await;
    let publisher = HttpPublisher::new(&server.url())
        .unwrap()
        .client(reqwest::Client::new());
    let error = failure(&publisher).await;
    assert!(error.is_unavailable());
    assert!(error.reason().contains("redirects"), "{error}");
}

/// Guards: no answer is no confirmation, and may be this event's fault.
#[tokio::test]
async fn without_an_answer_the_event_is_tried_again() {
    let server = Server::start(|_, _| Answer::Cut).await;
    let error = failure(&HttpPublisher::new(&server.url()).unwrap()).await;
    assert!(!error.is_permanent() && !error.is_unavailable());
    assert!(error.reason().starts_with("the endpoint did not answer: "));

    let server = Server::start(|_, _| Answer::Silence).await;
    let publisher = HttpPublisher::new(&server.url())
        .unwrap()
        .timeout(Duration::from_millis(200));
    let begun = Instant::now();
    let error = failure(&publisher).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(!error.is_permanent() && !error.is_unavailable());
    assert_eq!(
        error.reason(),
        "the endpoint did not answer in time (`HttpPublisher::timeout`)"
    );
}

/// Guards: the semaphore, which the calls and clones of a publisher share.
#[tokio::test]
async fn the_bound_on_requests_holds_for_all_calls_together() {
    let held = Arc::new(Semaphore::new(0));
    let (semaphore, most) = (held.clone(), Arc::new(AtomicUsize::new(0)));
    let (seen, answered) = (most.clone(), Arc::new(AtomicUsize::new(0)));
    let let_go = answered.clone();
    let server = Server::start(move |_, before| {
        let open = before + 1 - let_go.load(Ordering::Relaxed);
        seen.fetch_max(open, Ordering::Relaxed);
        Answer::Held(semaphore.clone())
    })
    .await;
    let publisher = HttpPublisher::new(&server.url()).unwrap().concurrency(3);
    let clone = publisher.clone();
    let calls = [&publisher, &clone, &publisher, &clone]
        .map(|publisher| publish(publisher, (0..4).map(|_| message(None)).collect()));
    let answering = async {
        for answers in 0..16 {
            server.came((answers + 3).min(16)).await;
            answered.fetch_add(1, Ordering::Relaxed);
            held.add_permits(1);
        }
    };
    let (ends, ()) = futures_util::future::join(join_all(calls), answering).await;
    assert!(ends.concat().iter().all(|end| *end == Some(Ok(()))));
    assert_eq!(most.load(Ordering::Relaxed), 3);
}
