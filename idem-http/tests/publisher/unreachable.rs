//! Endpoints that can't be reached: they concern every event, and nobody uses up an attempt.

use std::time::Duration;

use idem_http::HttpPublisher;
use tokio::net::{TcpSocket, TcpStream};

use crate::failure;
use crate::server::{Answer, Server};

/// Guards: what is taken for a connection that can't be made.
#[tokio::test]
async fn an_endpoint_that_is_not_there_is_unavailable() {
    let server = Server::start(|_, _| Answer::Status(200, "")).await;
    let publisher = HttpPublisher::new(&server.url()).unwrap();
    server.take_down().await;
    let error = failure(&publisher).await;
    assert!(error.is_unavailable());
    assert!(error.reason().contains("refused"), "{error}");

    let publisher = HttpPublisher::new("http://nobody.invalid/events?token=secret").unwrap();
    let error = failure(&publisher).await;
    assert!(error.is_unavailable(), "{error}");
    assert!(!error.reason().contains("secret"));
}

/// Guards: the time for the connection is shorter than that for the request, whatever that is. Here
/// the queue of the listener is full, and the system drops what comes.
#[tokio::test]
async fn a_host_that_does_not_accept_is_unavailable_and_not_slow() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(connected) =
        tokio::time::timeout(Duration::from_millis(500), TcpStream::connect(address)).await
    {
        waiting.push(connected.unwrap());
        assert!(waiting.len() < 100, "the queue has no end");
    }
    let publisher = HttpPublisher::new(&format!("http://{address}/events"))
        .unwrap()
        .timeout(Duration::from_millis(400));
    let error = failure(&publisher).await;
    assert!(error.is_unavailable(), "{error}");
}

/// Guards: the reason names the fix.
#[tokio::test]
async fn https_without_a_tls_feature_says_so() {
    let publisher = HttpPublisher::new("https://127.0.0.1:1/events").unwrap();
    let error = failure(&publisher).await;
    assert!(error.is_unavailable(), "{error}");
    // If another crate of the workspace has turned one on, the connection is refused.
    let has_tls = error.reason().contains("refused");
    assert!(
        has_tls || error.reason().contains("`https` needs a TLS feature"),
        "{error}"
    );
}
