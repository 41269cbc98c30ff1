//! What the events of one call have in common.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::{Client, HeaderMap, Message, StatusCode, Subject, Subscriber};
use futures_util::StreamExt as _;
use idem_runtime::PublishError;
use tokio::sync::{Notify, oneshot};
use tokio::task::unconstrained;
use tokio::time::{Instant, interval, timeout};

use super::answer::streams_of;
use crate::connector::{Connection, Connector, LOOK_EVERY};

/// The connection that all events of a call are sent on, and the inbox that their answers come to.
///
/// Both are had once, and one timer looks after all events that wait. A client, a request, a timer
/// and a watch for each event by itself cost more than the event.
pub(super) struct Call {
    context: Context,
    client: Client,
    connection: Connection,
    /// The answer to an event comes to the place below it that has the event's number.
    inbox: String,
    /// Who waits for the answer to the event of this number.
    waiting: Mutex<Vec<Option<oneshot::Sender<Message>>>>,
    /// Wakes all that wait for an answer, so that each looks whether it can still come.
    look: Notify,
}

/// Why there is no answer.
pub(super) enum Unanswered {
    /// Nobody has subscribed to the subject.
    NobodyThere,
    ConnectionLost,
    Late,
    Failed(async_nats::PublishError),
}

impl Call {
    /// The call, and what its answers come from.
    pub(super) async fn begin(connector: &Connector) -> Result<(Self, Subscriber), PublishError> {
        let context = connector.context().await.map_err(|error| {
            PublishError::unavailable(format!("NATS can't be reached: {}", error.reason))
        })?;
        let client = context.client();
        let connection = Connection::of(&client).ok_or_else(|| {
            PublishError::unavailable(
                "NATS can't be reached: its connection is lost, and is being made again",
            )
        })?;
        let inbox = client.new_inbox();
        let answers = client.subscribe(format!("{inbox}.*")).await;
        let answers = answers.map_err(|error| {
            PublishError::unavailable(format!("NATS takes no subscription: {error}"))
        })?;
        let call = Self {
            context,
            client,
            connection,
            inbox,
            waiting: Mutex::default(),
            look: Notify::new(),
        };
        Ok((call, answers))
    }

    /// Does this. Each [`answer`](Self::answer) that it waits for is handed to it, or ends when its
    /// time is up or the connection is lost.
    pub(super) async fn look_after(
        &self,
        mut answers: Subscriber,
        sending: impl Future<Output = ()>,
    ) {
        let looking = async {
            let mut looks = interval(LOOK_EVERY);
            loop {
                tokio::select! {
                    Some(answer) = answers.next() => self.hand_out(answer),
                    _ = looks.tick() => self.look.notify_waiters(),
                }
            }
        };
        let either = async {
            tokio::select! {
                biased;
                () = sending => {}
                () = looking => {}
            }
        };
        // The runtime lets a task take 128 steps at a time. All events beyond these would be polled
        // in vain, again and again: the more are on their way, the longer each takes.
        unconstrained(either).await;
    }

    fn hand_out(&self, answer: Message) {
        let number = answer.subject.rsplit('.').next();
        let number = number.and_then(|number| number.parse::<usize>().ok());
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = number.and_then(|number| waiting.get_mut(number)?.take());
        if let Some(asked) = asked {
            // Who has given up hears nothing more.
            let _ = asked.send(answer);
        }
    }

    /// Where the answer to the next event goes to, and where it comes from.
    fn expect(&self) -> (Subject, oneshot::Receiver<Message>) {
        let (asked, answer) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let number = waiting.len();
        waiting.push(Some(asked));
        (format!("{}.{number}", self.inbox).into(), answer)
    }

    /// Sends an event, and waits for its answer.
    pub(super) async fn answer(
        &self,
        subject: Subject,
        headers: HeaderMap,
        payload: Vec<u8>,
        limit: Duration,
    ) -> Result<Message, Unanswered> {
        let begun = Instant::now();
        let (reply, answer) = self.expect();
        // In a place of its own, which is free again while the event waits.
        let sent = Box::pin(self.client.publish_with_reply_and_headers(
            subject,
            reply,
            headers,
            payload.into(),
        ));
        let sent = self.in_time(begun, limit, sent).await?;
        sent.map_err(Unanswered::Failed)?;
        match self.in_time(begun, limit, answer).await? {
            Ok(answer) if answer.status == Some(StatusCode::NO_RESPONDERS) => {
                Err(Unanswered::NobodyThere)
            }
            Ok(answer) => Ok(answer),
            Err(_) => Err(Unanswered::ConnectionLost),
        }
    }

    /// Waits for it until the time is up or the connection is lost.
    async fn in_time<T>(
        &self,
        begun: Instant,
        limit: Duration,
        awaited: impl Future<Output = T>,
    ) -> Result<T, Unanswered> {
        let mut awaited = pin!(awaited);
        while self.connection.is_alive(&self.client) {
            tokio::select! {
                biased;
                done = &mut awaited => return Ok(done),
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
