//! The task that takes messages from the server, and keeps them while they wait.

use std::mem;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::{self, Context};
use async_nats::{Client, StatusCode, Subscriber};
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};

use super::buffer::{Buffer, End};
use super::delivery::NatsDelivery;
use super::in_hand::InHand;
use super::lease::Lease;
use super::limits::Limits;
use super::pull::{Ask, Pull, Status, request};
use crate::connector::{ANSWER_WITHIN, Connection, LOOK_EVERY};
use crate::envelope::incoming;

/// How long nothing must have come before an open request is withdrawn at the end.
const QUIET: Duration = Duration::from_millis(200);

/// How long the end may take.
const END_WITHIN: Duration = Duration::from_secs(1);

pub(super) struct Pump {
    pub(super) buffer: Arc<Buffer>,
    pub(super) client: Client,
    /// The one that it began on: a request does not outlive it.
    pub(super) connection: Connection,
    pub(super) context: Context,
    pub(super) consumer: PullConsumer,
    pub(super) inbox: String,
    pub(super) subscriber: Subscriber,
    pub(super) limits: Limits,
    pub(super) in_hand: Arc<InHand>,
    pub(super) stopped: watch::Receiver<bool>,
}

impl Pump {
    /// Ends when nothing more comes and all was handed out.
    pub(super) async fn run(mut self) {
        let end = self.take_until_the_end().await;
        self.buffer.end(end);
        // What was taken waits for its consumer, and is kept as long as that.
        while !self.buffer.is_empty() {
            tokio::time::sleep(LOOK_EVERY).await;
            self.buffer.extend();
        }
    }

    async fn take_until_the_end(&mut self) -> End {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pull: Option<Pull> = None;
        let mut ask = Ask::Room;
        let mut pulls = 0_u64;
        loop {
            if pull.is_none()
                && (ask != Ask::RoomOnceEmpty || self.buffer.is_empty())
                && let Some(room) = self.buffer.room(self.limits)
            {
                let config = &self.consumer.cached_info().config;
                let next = request(room, config, ask);
                pulls += 1;
                let inbox = format!("{}.{pulls}", self.inbox);
                let opened = Pull::new(inbox.clone(), &next, self.buffer.is_empty());
                let asked = self.consumer.request_batch(next, inbox.into());
                match timeout(ANSWER_WITHIN, asked).await {
                    Ok(Ok(())) => pull = Some(opened),
                    Ok(Err(error)) => return End::Failed(format!("it can't be asked: {error}")),
                    Err(_) => return End::Failed("it can't be asked: the client is busy".into()),
                }
            }
            tokio::select! {
                biased;
                () = is_stopped(&mut self.stopped) => {
                    self.withdraw(pull).await;
                    return End::Stopped;
                }
                message = self.subscriber.next() => {
                    let Some(message) = message else {
                        return End::Failed("its client has given up".into());
                    };
                    match self.taken(message, &mut pull) {
                        ControlFlow::Continue(Some(how)) => ask = how,
                        ControlFlow::Continue(None) => {}
                        ControlFlow::Break(why) => return End::Failed(why),
                    }
                }
                () = self.buffer.handed_out.notified(), if pull.is_none() => {}
                _ = looks.tick() => {
                    self.buffer.extend();
                    if !self.connection.is_alive(&self.client) {
                        return End::Failed("the connection was lost".into());
                    }
                    if let Some(silent) = pull.as_ref().and_then(Pull::silence) {
                        return End::Failed(format!("no sign of life for {silent:?}"));
                    }
                }
            }
        }
    }

    /// A message or a status. `Some`: the request has ended, and how to ask anew.
    fn taken(
        &self,
        message: async_nats::Message,
        open: &mut Option<Pull>,
    ) -> ControlFlow<String, Option<Ask>> {
        match message.status {
            None | Some(StatusCode::OK) => {}
            Some(code) => {
                let subject = message.subject.as_str();
                let current = open.as_mut().filter(|pull| pull.is_told_at(subject));
                let Some(pull) = current else {
                    return ControlFlow::Continue(None);
                };
                let description = message.description.as_deref().unwrap_or_default();
                return match pull.status(code, description) {
                    Status::Open => ControlFlow::Continue(None),
                    Status::Ended(ask) => {
                        *open = None;
                        ControlFlow::Continue(Some(ask))
                    }
                    Status::Failed(why) => ControlFlow::Break(why),
                };
            }
        }
        let ended = open.as_mut().is_some_and(|pull| !pull.message());
        if ended {
            *open = None;
        }
        if let Some(delivery) = self.delivery(message) {
            self.buffer.push(delivery);
        }
        ControlFlow::Continue(ended.then_some(Ask::Room))
    }

    /// `None` for what is no message of a stream: somebody else has published to this subject.
    fn delivery(&self, message: async_nats::Message) -> Option<NatsDelivery> {
        let mut message = jetstream::Message {
            message,
            context: self.context.clone(),
        };
        let settle_at = message.reply.clone()?;
        let (headers, body) = (
            message.message.headers.take(),
            mem::take(&mut message.message.payload),
        );
        let info = message.info();
        let info = match &info {
            Ok(info) => info,
            Err(error) => {
                tracing::warn!(%error, "what arrives from NATS is not from a stream, and is left out");
                return None;
            }
        };
        let (place, is_again) = self.in_hand.arrived(info.stream_sequence);
        let ack_wait = self.ack_wait(info.delivered);
        let headers = headers.unwrap_or_default();
        let mut incoming = incoming(&headers, body.into(), &message.subject, info);
        incoming.redelivered |= is_again;
        let lease = Lease::new(self.client.clone(), settle_at, ack_wait);
        Some(NatsDelivery::new(incoming, lease, place))
    }

    /// How long this delivery of a message is left to its consumer.
    fn ack_wait(&self, delivered: i64) -> Duration {
        let config = &self.consumer.cached_info().config;
        let place = usize::try_from(delivered.saturating_sub(1)).unwrap_or(0);
        let backoff = config.backoff.get(place).or(config.backoff.last());
        backoff.copied().unwrap_or(config.ack_wait)
    }

    /// Takes what is on its way, and nothing more.
    ///
    /// A request can't be withdrawn but with its subscription, and the client forgets that before the
    /// server does: what the server has sent meanwhile would come again only after its `ack_wait`. So
    /// this waits until the request has ended, or nothing has come for a moment.
    async fn withdraw(&mut self, mut pull: Option<Pull>) {
        let end = Instant::now() + END_WITHIN;
        let mut is_drained = false;
        loop {
            if pull.is_none() && !is_drained {
                is_drained = true;
                if timeout_at(end, self.subscriber.drain()).await.is_err() {
                    return;
                }
            }
            let wait = if is_drained {
                end
            } else {
                end.min(Instant::now() + QUIET)
            };
            match timeout_at(wait, self.subscriber.next()).await {
                Ok(Some(message)) => {
                    // A failure is the end, too.
                    if self.taken(message, &mut pull).is_break() {
                        pull = None;
                    }
                }
                Ok(None) => return,
                Err(_) if is_drained => return,
                Err(_) => pull = None,
            }
        }
    }
}

/// Waits until the source is stopped, or is not there any more.
async fn is_stopped(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
