//! The publisher, against servers on sockets.

mod answers;
mod conforms;
mod server;
mod unreachable;

use std::time::Duration;

use idem_http::HttpPublisher;
use idem_runtime::{EventId, Message, PublishBatch, PublishError, Publisher as _};
use uuid::Uuid;

type Verdict = Option<Result<(), PublishError>>;

/// A message of JSON.
fn message(key: Option<&str>) -> Message {
    let id = EventId::new(Uuid::now_v7());
    let mut message = Message::new(id, "happenings", "Happened", r#"{"n":1}"#);
    message.source = "urn:uuid:00000000-0000-0000-0000-000000000009".into();
    message.key = key.map(str::to_owned);
    message
}

/// One call with these messages; `None` is no verdict.
async fn publish(publisher: &HttpPublisher, messages: Vec<Message>) -> Vec<Verdict> {
    let mut all = vec![None; messages.len()];
    let (batch, mut verdicts) = PublishBatch::new(messages);
    tokio::time::timeout(Duration::from_mins(1), publisher.publish(batch))
        .await
        .expect("the call does not end");
    while let Some((index, verdict)) = verdicts.next().await {
        all[index] = Some(verdict);
    }
    all
}

/// The error of the only message.
async fn failure(publisher: &HttpPublisher) -> PublishError {
    let verdicts = publish(publisher, vec![message(None)]).await;
    verdicts[0].clone().expect("a verdict").unwrap_err()
}
