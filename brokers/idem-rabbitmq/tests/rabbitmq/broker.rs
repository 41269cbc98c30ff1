//! A RabbitMQ of a test's own, behind a proxy that can cut connections.

use std::time::{Duration, Instant};

use idem_rabbitmq::lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use idem_rabbitmq::lapin::types::{AMQPValue, FieldTable};
use idem_rabbitmq::lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
};
use idem_testing::conformance::WireMessage;
use idem_tests::proxy::Proxy;
use idem_tests::server::{Options, QueueCounts, RabbitMq};
use tokio::sync::{Mutex, OnceCell};
use tokio::time::timeout;

/// How long a confirmation may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What the shared broker takes, in bytes.
pub(crate) const LARGEST: usize = 1_000;

pub(crate) struct Broker {
    server: Mutex<RabbitMq>,
    pub(crate) proxy: Proxy,
    direct: String,
    url: String,
}

impl Broker {
    pub(crate) async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// The one that tests share which leave it as it is. It ends with the process.
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceCell<Broker> = OnceCell::const_new();
        let start = || Self::start_with(Options::default().set("max_message_size", LARGEST));
        SHARED.get_or_init(start).await
    }

    pub(crate) async fn start_with(options: Options) -> Self {
        let server = RabbitMq::start(options).await.unwrap();
        let proxy = Proxy::start(server.address()).unwrap();
        Self {
            direct: server.url(),
            // Dead connections are noticed soon.
            url: format!("{}?heartbeat=1", server.url_through(proxy.address())),
            server: Mutex::new(server),
            proxy,
        }
    }

    /// Through the proxy.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Through the proxy, by a connection that nothing tells to be dead.
    pub(crate) fn url_without_heartbeats(&self) -> String {
        self.url.replace("heartbeat=1", "heartbeat=0")
    }

    /// Past the proxy.
    pub(crate) fn direct_url(&self) -> &str {
        &self.direct
    }

    /// A channel that no proxy cuts, and what keeps it open.
    pub(crate) async fn channel(&self) -> (Connection, Channel) {
        let properties = ConnectionProperties::default();
        let connection = Connection::connect(&self.direct, properties).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        (connection, channel)
    }

    pub(crate) async fn declare(&self, queue: &str, arguments: FieldTable) {
        let (_connection, channel) = self.channel().await;
        let options = QueueDeclareOptions::durable();
        let declared = channel
            .queue_declare(queue.into(), options, arguments)
            .await;
        declared.unwrap();
        // It may be killed at once.
        self.server.lock().await.flush_declarations().unwrap();
    }

    /// Into this queue, again until each is confirmed: what is sent right after a crash may be refused.
    pub(crate) async fn send(&self, queue: &str, messages: Vec<WireMessage>) {
        let mut left = messages;
        while !left.is_empty() {
            let (_connection, channel) = self.channel().await;
            let options = ConfirmSelectOptions::default();
            channel.confirm_select(options).await.unwrap();
            let mut confirms = Vec::new();
            for message in left {
                let sent = channel.basic_publish(
                    "".into(),
                    queue.into(),
                    BasicPublishOptions::default(),
                    &message.body,
                    properties(&message),
                );
                confirms.push((sent.await.unwrap(), message));
            }
            left = Vec::new();
            for (confirm, message) in confirms {
                let confirmed = timeout(ANSWER_WITHIN, confirm).await;
                if !matches!(confirmed, Ok(Ok(Confirmation::Ack(None)))) {
                    left.push(message);
                }
            }
        }
    }

    /// The body of the first message of a queue, which is taken out.
    pub(crate) async fn take(&self, queue: &str) -> Option<Vec<u8>> {
        let (_connection, channel) = self.channel().await;
        let options = BasicGetOptions { no_ack: true };
        let got = channel.basic_get(queue.into(), options).await.unwrap();
        got.map(|got| got.delivery.data)
    }

    pub(crate) async fn counts(&self, queue: &str) -> QueueCounts {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            // After a restart a queue has no leader for a moment.
            match self.server.lock().await.queue(queue) {
                Ok(counts) => return counts,
                Err(error) if Instant::now() > end => panic!("{error}"),
                Err(_) => {}
            }
            tokio::task::yield_now().await;
        }
    }

    /// Kills it, and starts it again.
    pub(crate) async fn restart(&self) {
        let mut server = self.server.lock().await;
        server.crash().unwrap();
        server.restart().await.unwrap();
    }

    pub(crate) async fn crash(&self) {
        self.server.lock().await.crash().unwrap();
    }

    pub(crate) async fn start_again(&self) {
        self.server.lock().await.restart().await.unwrap();
    }
}

fn properties(message: &WireMessage) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in &message.attributes {
        let value = AMQPValue::LongString(value.as_str().into());
        headers.insert(format!("cloudEvents:{name}").into(), value);
    }
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_headers(headers);
    match &message.content_type {
        Some(content_type) => properties.with_content_type(content_type.as_str().into()),
        None => properties,
    }
}
