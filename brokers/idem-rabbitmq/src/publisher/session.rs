//! A channel in confirm mode, made anew when it is lost.

use std::sync::Arc;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::Mutex;

use crate::connector::Connector;

/// What a frame has besides headers: other properties, at their longest.
const PROPERTIES: usize = 2 * 1024;

/// A frame's size where the broker sets no limit.
const FRAME: usize = 128 * 1024;

/// The present session, if there is one.
pub(super) struct Sessions {
    connector: Connector,
    current: Mutex<Option<Arc<Session>>>,
}

impl Sessions {
    pub(super) fn new(connector: Connector) -> Self {
        Self {
            connector,
            current: Mutex::default(),
        }
    }

    /// The present session, or a new one. All who need it wait for the same.
    pub(super) async fn current(&self) -> lapin::Result<Arc<Session>> {
        let mut current = self.current.lock().await;
        if let Some(session) = current.as_ref().filter(|session| session.is_alive()) {
            return Ok(Arc::clone(session));
        }
        *current = None;
        let session = Arc::new(Session::begin(&self.connector).await?);
        *current = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Uses this one no more. What was on its way fails by itself.
    pub(super) async fn discard(&self, session: &Arc<Session>) {
        let mut current = self.current.lock().await;
        if current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, session))
        {
            *current = None;
        }
    }
}

/// A connection with one channel.
pub(super) struct Session {
    channel: Channel,
    // Closed when it is dropped.
    connection: Connection,
}

impl Session {
    async fn begin(connector: &Connector) -> lapin::Result<Self> {
        let confirming = async |connection: &Connection| {
            let channel = connection.create_channel().await?;
            let options = ConfirmSelectOptions::default();
            channel.confirm_select(options).await?;
            Ok(channel)
        };
        let (connection, channel) = connector.begin(confirming).await?;
        Ok(Self {
            channel,
            connection,
        })
    }

    fn is_alive(&self) -> bool {
        self.connection.status().connected() && self.channel.status().connected()
    }

    /// How many bytes the headers of a message may have: a frame of headers can't be split.
    pub(super) fn longest_headers(&self) -> usize {
        let frame = usize::try_from(self.connection.configuration().frame_max());
        let frame = frame.ok().filter(|frame| *frame > 0).unwrap_or(FRAME);
        frame.saturating_sub(PROPERTIES)
    }

    /// Waits until RabbitMQ has confirmed it, or has said why not.
    pub(super) async fn publish(
        &self,
        exchange: &ShortString,
        routing_key: ShortString,
        payload: &[u8],
        properties: BasicProperties,
    ) -> lapin::Result<Result<(), String>> {
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let confirm = self
            .channel
            .basic_publish(exchange.clone(), routing_key, options, payload, properties)
            .await?;
        Ok(match confirm.await? {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(returned)) => Err(format!(
                "RabbitMQ returned it, since no queue is bound for it: {} {}, exchange `{}`, routing key `{}`",
                returned.reply_code,
                returned.reply_text,
                returned.delivery.exchange,
                returned.delivery.routing_key,
            )),
            Confirmation::Nack(_) => Err(
                "RabbitMQ refused it (basic.nack): a queue is full and rejects, or has failed"
                    .into(),
            ),
            Confirmation::NotRequested => Err("the channel is not in confirm mode".into()),
        })
    }
}
