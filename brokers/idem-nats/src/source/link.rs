//! A subscription that delivers.

use std::sync::Arc;

use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer};
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::ConsumerErrorKind;
use async_nats::jetstream::{Context, ErrorCode};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::buffer::{Buffer, End};
use super::delivery::NatsDelivery;
use super::durable::DurableConsumer;
use super::in_hand::InHand;
use super::limits::Limits;
use super::pump::Pump;
use crate::connector::{ANSWER_WITHIN, Connection, Connector};

/// A durable consumer that is pulled from, by a task of its own.
pub(super) struct Link {
    buffer: Arc<Buffer>,
    delivery_limit: u32,
    pump: AbortHandle,
}

/// Why there is none.
pub(super) struct LinkError {
    pub(super) reason: String,
    /// The server has refused it, and would refuse it again.
    pub(super) is_refusal: bool,
}

impl LinkError {
    fn refused(reason: String) -> Self {
        Self {
            reason,
            is_refusal: true,
        }
    }

    fn unavailable(reason: String) -> Self {
        Self {
            reason,
            is_refusal: false,
        }
    }
}

impl Link {
    pub(super) async fn new(
        connector: &Connector,
        (stream, durable): (&str, &str),
        declare: Option<&DurableConsumer>,
        limits: Limits,
        (in_hand, stopped): (&Arc<InHand>, &watch::Sender<bool>),
    ) -> Result<Self, LinkError> {
        let context = connector.context().await.map_err(|error| LinkError {
            reason: format!("NATS can't be reached: {}", error.reason),
            is_refusal: error.is_refusal,
        })?;
        let client = context.client();
        let Some(connection) = Connection::made(&client).await else {
            return Err(LinkError::unavailable(
                "NATS can't be reached: its connection is lost, and is being made again".into(),
            ));
        };
        let begun = async {
            if let Some(declare) = declare {
                declare_stream(&context, stream, declare).await?;
            }
            let consumer = find_or_make(&context, stream, durable, declare).await?;
            check(&consumer, stream, durable)?;
            // A subject of its own for each pull.
            let inbox = client.new_inbox();
            let subscriber = client.subscribe(format!("{inbox}.*")).await;
            let subscriber = subscriber.map_err(|error| {
                LinkError::unavailable(format!("NATS takes no subscription: {error}"))
            })?;
            Ok((consumer, inbox, subscriber))
        };
        let (consumer, inbox, subscriber) =
            timeout(ANSWER_WITHIN, begun).await.unwrap_or_else(|_| {
                Err(LinkError::unavailable(format!(
                    "JetStream has not answered within {ANSWER_WITHIN:?} about the stream `{stream}` and its consumer `{durable}`: it may \
                     have no leader now, or this user may not ask"
                )))
            })?;
        let max_deliver = consumer.cached_info().config.max_deliver;
        let buffer = Arc::<Buffer>::default();
        let pump = Pump {
            buffer: Arc::clone(&buffer),
            client,
            connection,
            context,
            consumer,
            inbox,
            subscriber,
            limits,
            in_hand: Arc::clone(in_hand),
            stopped: stopped.subscribe(),
        };
        Ok(Self {
            buffer,
            delivery_limit: u32::try_from(max_deliver.max(0)).unwrap_or(u32::MAX),
            pump: tokio::spawn(pump.run()).abort_handle(),
        })
    }

    pub(super) async fn next(&self) -> Result<NatsDelivery, End> {
        self.buffer.next().await
    }

    /// Zero: there is none.
    pub(super) const fn delivery_limit(&self) -> u32 {
        self.delivery_limit
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

async fn declare_stream(
    context: &Context,
    stream: &str,
    declare: &DurableConsumer,
) -> Result<(), LinkError> {
    let config = match context.get_stream(stream).await {
        Ok(there) => there.cached_info().config.clone(),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(error)
                if error.error_code() == ErrorCode::STREAM_NOT_FOUND =>
            {
                let made = context.create_stream(declare.stream(stream)).await;
                let made = made.map_err(|error| {
                    let reason = format!("the stream `{stream}` can't be made: {error}");
                    match error.kind() {
                        CreateStreamErrorKind::JetStream(error) if is_refusal(&error) => {
                            LinkError::refused(reason)
                        }
                        _ => LinkError::unavailable(reason),
                    }
                })?;
                made.cached_info().config.clone()
            }
            GetStreamErrorKind::JetStream(error) if is_refusal(&error) => {
                return Err(LinkError::refused(format!(
                    "NATS refuses the stream `{stream}`: {error}"
                )));
            }
            _ => {
                return Err(LinkError::unavailable(format!(
                    "JetStream does not tell about the stream `{stream}`: {error}"
                )));
            }
        },
    };
    let Some(subject) = declare.missing_subject(&config) else {
        return Ok(());
    };
    Err(LinkError::refused(format!(
        "the stream `{stream}` is there and does not take the subject `{subject}`: add it to the stream's subjects, or correct what is declared"
    )))
}

/// Whether the server would refuse it again.
fn is_refusal(error: &async_nats::jetstream::Error) -> bool {
    const PASSING: [ErrorCode; 5] = [
        ErrorCode::CLUSTER_NOT_AVAILABLE,
        ErrorCode::CLUSTER_NOT_LEADER,
        ErrorCode::CLUSTER_NO_PEERS,
        ErrorCode::INSUFFICIENT_RESOURCES,
        ErrorCode::STORAGE_RESOURCES_EXCEEDED,
    ];
    !PASSING.contains(&error.error_code())
}

async fn find_or_make(
    context: &Context,
    stream: &str,
    durable: &str,
    declare: Option<&DurableConsumer>,
) -> Result<PullConsumer, LinkError> {
    let found = context.get_consumer_from_stream::<Config, _, _>(durable, stream);
    let error = match found.await {
        Ok(consumer) => {
            let difference = declare.and_then(|declare| declare.difference(&consumer));
            let Some(difference) = difference else {
                return Ok(consumer);
            };
            return Err(LinkError::refused(format!(
                "the consumer `{durable}` of the stream `{stream}` is there, and {difference}: change it there or here"
            )));
        }
        Err(error) => error,
    };
    let told = match error.kind() {
        ConsumerErrorKind::JetStream(error) => Some(error),
        _ => None,
    };
    let is_missing = told
        .as_ref()
        .is_some_and(|error| error.error_code() == ErrorCode::CONSUMER_NOT_FOUND);
    if let Some(declare) = declare.filter(|_| is_missing) {
        let made = context.create_consumer_on_stream(declare.consumer(durable), stream);
        return made.await.map_err(|error| {
            let reason =
                format!("the consumer `{durable}` of the stream `{stream}` can't be made: {error}");
            match error.kind() {
                ConsumerErrorKind::JetStream(error) if is_refusal(&error) => {
                    LinkError::refused(reason)
                }
                _ => LinkError::unavailable(reason),
            }
        });
    }
    let reason = format!(
        "NATS has no pull consumer `{durable}` of a stream `{stream}`: {error}. Make both, or let `declare` do it"
    );
    let is_push = error.kind() == ConsumerErrorKind::InvalidConsumerType;
    let is_refused = is_push || told.is_some_and(|error| is_refusal(&error));
    Err(if is_refused {
        LinkError::refused(reason)
    } else {
        LinkError::unavailable(format!(
            "JetStream does not tell about the consumer `{durable}` of the stream `{stream}`: {error}"
        ))
    })
}

fn check(consumer: &PullConsumer, stream: &str, durable: &str) -> Result<(), LinkError> {
    let policy = consumer.cached_info().config.ack_policy;
    if policy == AckPolicy::Explicit {
        return Ok(());
    }
    Err(LinkError::refused(format!(
        "the consumer `{durable}` of the stream `{stream}` has the ack policy {policy:?}: make one whose policy is `explicit`, or a message would \
         be lost, or acknowledged with others"
    )))
}
