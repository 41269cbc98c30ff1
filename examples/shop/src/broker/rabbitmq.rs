//! RabbitMQ: how the services use it, and what must be there before.

mod flush;
pub(crate) mod server;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use idem_rabbitmq::lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use idem_rabbitmq::lapin::types::FieldTable;
use idem_rabbitmq::lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use idem_rabbitmq::{QuorumQueue, RabbitMqPublisher, RabbitMqSource};
use tokio::time::timeout;

use crate::broker::admin::Admin;

/// How long it may take to connect, or to answer.
const WITHIN: Duration = Duration::from_secs(10);

/// A broker, with an exchange and a queue there.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    url: String,
    exchange: String,
    queue: String,
}

impl Place {
    /// All names begin with `name`.
    pub(crate) fn new(url: &str, name: &str) -> Self {
        Self {
            url: url.to_owned(),
            exchange: format!("{name}.events"),
            queue: format!("{name}.ledger"),
        }
    }
}

/// One instance at a time gets messages, so each account is in order over all of them.
fn queue() -> QuorumQueue {
    QuorumQueue::new(100).single_active_consumer()
}

/// Where the relay of orders publishes to.
pub(crate) fn publisher(place: &Place) -> Result<RabbitMqPublisher> {
    Ok(RabbitMqPublisher::new(&place.url)?.exchange(&place.exchange)?)
}

/// Where the ledger gets its events from.
pub(crate) fn source(place: &Place) -> Result<RabbitMqSource> {
    Ok(RabbitMqSource::new(&place.url, &place.queue)?.declare(queue()))
}

impl Admin for Place {
    fn label(&self) -> &'static str {
        "RabbitMQ"
    }

    fn declare(&self) -> BoxFuture<'_, Result<()>> {
        declare(self).boxed()
    }

    fn flush<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, Result<()>> {
        flush::flush(folder).boxed()
    }

    fn waiting(&self) -> BoxFuture<'_, Result<u32>> {
        waiting(self).boxed()
    }

    fn remove(&self) -> BoxFuture<'_, Result<()>> {
        remove(self).boxed()
    }
}

/// The exchange, the queue, and which events go from one to the other.
async fn declare(place: &Place) -> Result<()> {
    let work = async |channel: &Channel| {
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let nothing = FieldTable::default;
        channel
            .exchange_declare(
                place.exchange.as_str().into(),
                ExchangeKind::Topic,
                durable,
                nothing(),
            )
            .await?;
        channel
            .queue_declare(
                place.queue.as_str().into(),
                QueueDeclareOptions::durable(),
                queue().arguments(),
            )
            .await?;
        channel
            .queue_bind(
                place.queue.as_str().into(),
                place.exchange.as_str().into(),
                "orders.*".into(),
                QueueBindOptions::default(),
                nothing(),
            )
            .await
    };
    on_channel(&place.url, work).await
}

/// How many messages the queue holds; those that a consumer has are not among them.
async fn waiting(place: &Place) -> Result<u32> {
    let work = async |channel: &Channel| {
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::durable()
        };
        channel
            .queue_declare(place.queue.as_str().into(), passive, FieldTable::default())
            .await
    };
    Ok(on_channel(&place.url, work).await?.message_count())
}

/// Deletes the queue and the exchange.
async fn remove(place: &Place) -> Result<()> {
    let work = async |channel: &Channel| {
        channel
            .queue_delete(place.queue.as_str().into(), QueueDeleteOptions::default())
            .await?;
        channel
            .exchange_delete(
                place.exchange.as_str().into(),
                ExchangeDeleteOptions::default(),
            )
            .await
    };
    on_channel(&place.url, work).await
}

/// Whether the broker takes a connection.
async fn answers(url: &str) -> Result<()> {
    on_channel(url, async |_: &Channel| Ok(())).await
}

async fn on_channel<T>(
    url: &str,
    work: impl AsyncFnOnce(&Channel) -> Result<T, idem_rabbitmq::lapin::Error>,
) -> Result<T> {
    let done = timeout(WITHIN, async {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let done = work(&channel).await?;
        connection.close(200, "done".into()).await?;
        Ok::<_, idem_rabbitmq::lapin::Error>(done)
    });
    let done = done
        .await
        .with_context(|| format!("RabbitMQ did not answer within {WITHIN:?}"))?;
    // The URL is not shown: it may hold a password.
    done.context("RabbitMQ can't be reached, or refuses; see its host, port, user and virtual host in the URL")
}
