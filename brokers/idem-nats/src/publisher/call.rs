//! What the events of one call have in common.

use std::pin::pin;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::{Client, Message, Request, RequestError, RequestErrorKind, Subject};
use idem_runtime::PublishError;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::answer::streams_of;
use crate::connector::{Connection, Connector, LOOK_EVERY};

/// The connection that all events of a call are sent on.
///
/// It is found once, and one timer looks after all events that wait for their answer. A client, a
/// timer and a watch for each event by itself cost more than the event.
pub(super) struct Call {
    context: Context,
    client: Client,
    connection: Connection,
    /// Wakes all that wait for an answer, so that each looks whether it can still come.
    look: Notify,
}

/// Why there is no answer.
pub(super) enum Unanswered {
    /// Nobody has subscribed to the subject.
    NobodyThere,
    ConnectionLost,
    Late,
    Failed(RequestError),
}

impl Call {
    pub(super) async fn begin(connector: &Connector) -> Result<Self, PublishError> {
        let context = connector.context().await.map_err(|error| {
            PublishError::unavailable(format!("NATS can't be reached: {}", error.reason))
        })?;
        let client = context.client();
        let connection = Connection::of(&client).ok_or_else(|| {
            PublishError::unavailable(
                "NATS can't be reached: its connection is lost, and is being made again",
            )
        })?;
        Ok(Self {
            context,
            client,
            connection,
            look: Notify::new(),
        })
    }

    /// Does this. Each [`answer`](Self::answer) that it waits for ends when its time is up or the
    /// connection is lost.
    pub(super) async fn look_after(&self, sending: impl Future<Output = ()>) {
        let looking = async {
            loop {
                sleep(LOOK_EVERY).await;
                self.look.notify_waiters();
            }
        };
        tokio::select! {
            () = sending => {}
            () = looking => {}
        }
    }

    /// Sends an event, and waits for its answer.
    pub(super) async fn answer(
        &self,
        subject: Subject,
        event: Request,
        limit: Duration,
    ) -> Result<Message, Unanswered> {
        let begun = Instant::now();
        let mut answer = pin!(self.client.send_request(subject, event.timeout(None)));
        while self.connection.is_alive(&self.client) {
            tokio::select! {
                biased;
                answer = &mut answer => return answer.map_err(|error| match error.kind() {
                    RequestErrorKind::NoResponders => Unanswered::NobodyThere,
                    _ => Unanswered::Failed(error),
                }),
                () = self.look.notified() => {}
            }
            if begun.elapsed() >= limit {
                return Err(Unanswered::Late);
            }
        }
        Err(Unanswered::ConnectionLost)
    }

    /// How many bytes the server takes, with the headers.
    pub(super) fn largest(&self) -> usize {
        self.client.max_payload()
    }

    /// Nobody has subscribed to the subject: it has no stream, or its stream has no leader.
    pub(super) async fn nobody_answers(&self, subject: &str) -> PublishError {
        const ASKED_WITHIN: Duration = Duration::from_secs(2);
        // In a place of its own: the future of each event has room for it otherwise.
        let streams = Box::pin(streams_of(&self.context, subject));
        match timeout(ASKED_WITHIN, streams).await {
            Ok(Ok(Some(stream))) => PublishError::unavailable(format!(
                "the stream `{stream}` has no leader now, which would take `{subject}`"
            )),
            Ok(Err(error)) => PublishError::unavailable(format!(
                "nobody takes `{subject}`, and JetStream does not answer: {error}. Turn it on for the server and the account"
            )),
            // Without an answer the user may not ask.
            Ok(Ok(None)) | Err(_) => PublishError::retryable(format!(
                "no stream takes the subject `{subject}`: add it to the subjects of a stream, or correct the topic or the prefix"
            )),
        }
    }
}
