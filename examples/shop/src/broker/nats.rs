//! NATS JetStream: how the services use it, and what must be there before.

pub(crate) mod server;

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use idem_nats::async_nats::jetstream::Context;
use idem_nats::async_nats::jetstream::consumer::PullConsumer;
use idem_nats::async_nats::{Client, ConnectOptions, ServerAddr, jetstream};
use idem_nats::{DurableConsumer, NatsError, NatsPublisher, NatsSource};
use percent_encoding::percent_decode_str;
use tokio::time::timeout;

use crate::broker::admin::Admin;

/// How long it may take to connect, or to answer.
const WITHIN: Duration = Duration::from_secs(10);

const DURABLE: &str = "ledger";

/// A broker, with a stream there.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    url: String,
    /// Of the stream, and the first word of its subjects: two streams can't take the same ones.
    name: String,
}

impl Place {
    pub(crate) fn new(url: &str, name: &str) -> Self {
        Self {
            url: url.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// One message at a time, so each account is in order, whatever is delivered again. While a killed
/// ledger's message is not handed out again, none is: that time is short.
fn durable(place: &Place) -> Result<DurableConsumer> {
    let durable = DurableConsumer::new([format!("{}.orders.*", place.name)])?;
    Ok(durable.in_order().ack_wait(Duration::from_secs(2)))
}

/// Where the relay of orders publishes to.
pub(crate) fn publisher(place: &Place) -> Result<NatsPublisher> {
    let publisher = NatsPublisher::new(&place.url)?;
    Ok(publisher.subject_prefix(&place.name)?.stream(&place.name)?)
}

/// Where the ledger gets its events from.
pub(crate) fn source(place: &Place) -> Result<NatsSource> {
    Ok(NatsSource::new(&place.url, &place.name, DURABLE)?.declare(durable(place)?))
}

impl Admin for Place {
    fn label(&self) -> &'static str {
        "NATS"
    }

    fn declare(&self) -> BoxFuture<'_, Result<()>> {
        declare(self).boxed()
    }

    fn waiting(&self) -> BoxFuture<'_, Result<u32>> {
        waiting(self).boxed()
    }

    fn remove(&self) -> BoxFuture<'_, Result<()>> {
        remove(self).boxed()
    }
}

/// The stream and its durable consumer.
async fn declare(place: &Place) -> Result<()> {
    let durable = durable(place)?;
    let work = async |context: Context| {
        let stream = context
            .get_or_create_stream(durable.stream(&place.name))
            .await?;
        stream.create_consumer(durable.consumer(DURABLE)).await?;
        Ok(())
    };
    on_context(&place.url, work).await
}

/// How many messages were not handed out yet, or not acknowledged.
async fn waiting(place: &Place) -> Result<u32> {
    let work = async |context: Context| {
        let consumer: PullConsumer = context
            .get_consumer_from_stream(DURABLE, &place.name)
            .await?;
        let info = consumer.cached_info();
        Ok(info.num_pending + u64::try_from(info.num_ack_pending)?)
    };
    let waiting = on_context(&place.url, work).await?;
    Ok(u32::try_from(waiting).unwrap_or(u32::MAX))
}

/// Deletes the stream, and with it the consumer.
async fn remove(place: &Place) -> Result<()> {
    let work = async |context: Context| {
        context.delete_stream(&place.name).await?;
        Ok(())
    };
    on_context(&place.url, work).await
}

/// Whether JetStream answers.
async fn answers(url: &str) -> Result<()> {
    let work = async |context: Context| {
        // The client's own type for it has fields that an older server does not send.
        let _: serde_json::Value = context.request("INFO", &()).await?;
        Ok(())
    };
    on_context(url, work).await
}

async fn on_context<T>(url: &str, work: impl AsyncFnOnce(Context) -> Result<T>) -> Result<T> {
    let done = timeout(WITHIN, async {
        work(jetstream::new(connect(url).await?)).await
    });
    let done = done
        .await
        .with_context(|| format!("NATS did not answer within {WITHIN:?}"))?;
    // The URL is not shown: it may hold a password.
    done.context(
        "NATS can't be reached, or refuses; see its host, port and user in the URL, and that it runs with JetStream",
    )
}

/// The client leaves out who is named in a URL.
async fn connect(url: &str) -> Result<Client> {
    let addresses = url.split(',').map(|url| url.trim().parse());
    // The parser's own words may quote the password.
    let addresses: Vec<ServerAddr> = addresses
        .collect::<Result<_, _>>()
        .map_err(|_| NatsError::Url)?;
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let user = addresses
        .iter()
        .find_map(|address| Some((decoded(address.username()?), address.password())));
    let options = match user {
        Some((user, Some(password))) => {
            ConnectOptions::with_user_and_password(user, decoded(password))
        }
        Some((token, None)) => ConnectOptions::with_token(token),
        None => ConnectOptions::new(),
    };
    Ok(options.connect(addresses).await?)
}
