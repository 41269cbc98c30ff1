//! A NATS of a test's own, behind a proxy that can cut connections.

use std::sync::Arc;
use std::time::Duration;

use idem_nats::async_nats::jetstream::consumer::pull;
use idem_nats::async_nats::jetstream::{self, Context, consumer, stream};
use idem_nats::async_nats::{HeaderMap, Request};
use idem_testing::conformance::WireMessage;
use idem_tests::proxy::Proxy;
use idem_tests::server::{Nats, NatsRelease, Options};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// How long an answer may take, on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(30);

/// How long one answer may take before it is asked for again: a question to a server that is killed is
/// lost.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What a server takes, in bytes: more than 1 MiB with headers.
pub(crate) const LARGEST: usize = 2 * 1024 * 1024;

pub(crate) struct Broker {
    pub(crate) server: Arc<Mutex<Nats>>,
    pub(crate) proxy: Arc<Proxy>,
    url: String,
    direct: String,
    context: Context,
}

impl Broker {
    pub(crate) async fn start(release: NatsRelease) -> Self {
        let options = Options::default().set("max_payload", LARGEST);
        let server = Nats::start(release, options).await.unwrap();
        let proxy = Proxy::start(server.address()).unwrap();
        Self::of(Arc::new(Mutex::new(server)), Arc::new(proxy)).await
    }

    /// One that tests share which leave it as it is. It ends with the process.
    pub(crate) async fn shared(release: NatsRelease) -> Self {
        type Shared = (NatsRelease, Arc<Mutex<Nats>>, Arc<Proxy>);
        static SHARED: Mutex<Vec<Shared>> = Mutex::const_new(Vec::new());
        let mut shared = SHARED.lock().await;
        if let Some((_, server, proxy)) = shared.iter().find(|(other, ..)| *other == release) {
            return Self::of(Arc::clone(server), Arc::clone(proxy)).await;
        }
        let broker = Self::start(release).await;
        shared.push((
            release,
            Arc::clone(&broker.server),
            Arc::clone(&broker.proxy),
        ));
        broker
    }

    /// With a client of this test's own: it ends with the runtime that it was made on.
    async fn of(server: Arc<Mutex<Nats>>, proxy: Arc<Proxy>) -> Self {
        let (url, direct) = {
            let server = server.lock().await;
            (server.url_through(proxy.address()), server.url())
        };
        let client = idem_nats::async_nats::connect(&direct).await.unwrap();
        let mut context = jetstream::new(client);
        context.set_timeout(ANSWER_WITHIN);
        Self {
            server,
            proxy,
            url,
            direct,
            context,
        }
    }

    /// Through the proxy.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Past the proxy.
    pub(crate) fn direct_url(&self) -> &str {
        &self.direct
    }

    /// By a connection that no proxy cuts.
    pub(crate) const fn context(&self) -> &Context {
        &self.context
    }

    /// A stream of the subjects that begin with its name.
    pub(crate) async fn stream(&self, name: &str) {
        let config = stream::Config {
            name: name.to_owned(),
            subjects: vec![name.to_owned(), format!("{name}.>")],
            ..stream::Config::default()
        };
        self.context.create_stream(config).await.unwrap();
    }

    /// How many messages a stream has.
    pub(crate) async fn messages(&self, stream: &str) -> u64 {
        let stream = self.context.get_stream(stream).await.unwrap();
        stream.cached_info().state.messages
    }

    /// Into the stream of this subject, again until each is confirmed.
    pub(crate) async fn send(&self, subject: &str, messages: Vec<WireMessage>) {
        let client = self.context.client();
        for message in messages {
            let request = || {
                let mut headers = HeaderMap::new();
                for (name, value) in &message.attributes {
                    let value = utf8_percent_encode(value, NON_ALPHANUMERIC).to_string();
                    headers.insert(format!("ce-{name}").as_str(), value);
                }
                if let Some(content_type) = &message.content_type {
                    headers.insert("Content-Type", content_type.as_str());
                }
                let payload = message.body.clone().into();
                Request::new()
                    .headers(headers)
                    .payload(payload)
                    .timeout(Some(ANSWER_WITHIN))
            };
            let sent = async {
                while client
                    .send_request(subject.to_owned(), request())
                    .await
                    .is_err()
                {}
            };
            timeout(LIMIT, sent).await.expect("the stream takes it");
        }
    }

    pub(crate) async fn info(&self, stream: &str, durable: &str) -> consumer::Info {
        let asked = async {
            loop {
                let found = self
                    .context
                    .get_consumer_from_stream::<pull::Config, _, _>(durable, stream);
                if let Ok(found) = found.await {
                    return found.cached_info().clone();
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(LIMIT, asked).await.expect("the consumer is there")
    }

    /// A message of a producer that knows nothing of events, and of this many bytes.
    pub(crate) async fn send_plain(&self, subject: &str, bytes: usize) {
        let mut headers = HeaderMap::new();
        headers.insert("tenant", "t-1");
        headers.insert("Nats-Msg-Id", uuid::Uuid::now_v7().to_string());
        let subject = subject.to_owned();
        let sent = self
            .context
            .publish_with_headers(subject, headers, vec![b'1'; bytes].into());
        sent.await.unwrap().await.unwrap();
    }

    /// Kills it, and starts it again.
    pub(crate) async fn restart(&self) {
        let mut server = self.server.lock().await;
        server.crash().unwrap();
        server.restart().await.unwrap();
    }
}
