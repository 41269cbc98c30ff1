//! Events to an HTTP endpoint: one POST each, CloudEvents in binary mode.

mod answer;
mod error;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use idem_runtime::{Message, PublishBatch, PublishError, Publisher, in_order};
use percent_encoding::percent_decode_str;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use tokio::sync::Semaphore;

pub(crate) use self::answer::Judge;
use self::answer::unanswered;
pub use self::error::HttpPublisherError;
use crate::binding::binary_mode;

/// How many bytes of an answer's body are read, so that its connection can serve again.
const LONGEST_ANSWER: usize = 64 * 1024;

/// How long that may take. Beyond that, a new connection costs less.
const SLOWEST_ANSWER: Duration = Duration::from_secs(1);

/// Sends each event by a POST of its own, as CloudEvents 1.0 in binary mode: attributes in headers
/// `ce-...`, the payload as the body.
///
/// ```
/// use std::time::Duration;
/// use idem_http::{HttpPublisher, HttpPublisherError};
///
/// # fn main() -> Result<(), HttpPublisherError> {
/// let publisher = HttpPublisher::new("http://127.0.0.1:8080/events")?
///     .header("authorization", "Bearer ...")?
///     .timeout(Duration::from_secs(5));
/// # Ok(())
/// # }
/// ```
///
/// # What follows from an answer
///
/// What follows depends on what is wrong. If it is this event, the event uses up an attempt, and in
/// the end becomes a dead letter. If it is the endpoint, every event would fail: then no event uses
/// up an attempt, and the relay pauses. A token that expired at night must not turn the whole
/// outbox into dead letters.
///
/// | answer | what is wrong | verdict |
/// |---|---|---|
/// | 2xx | nothing is wrong | confirmed |
/// | 429, 503 | the endpoint | unavailable |
/// | no connection: refused, no such host, TLS, no answer to the connect | the endpoint | unavailable |
/// | 401, 405, 407, 410, 3xx | the endpoint: credentials and URL are the same for every event | unavailable, with a reason that says what to set right |
/// | 403, 404, 502, 504 | one or the other: see below | unavailable or retryable |
/// | 408, 425, 500, any other 5xx | perhaps this event | retryable |
/// | no answer within the timeout, a cut connection | perhaps this event. The endpoint may have taken it, and knows it by its ID when it comes again | retryable |
/// | any other 4xx | this event | permanent: a dead letter at once |
///
/// 403, 404, 502 and 504 come from an endpoint that is set up wrong or is down, and also from a
/// firewall that refuses one payload, a route that depends on the type, and an event that crashes
/// the server behind a gateway. The other events decide: if one was confirmed since the last answer
/// of this kind, the endpoint works, and this event uses up an attempt. Otherwise the endpoint is
/// unavailable. So an outage that begins with such an answer costs one attempt of one event.
///
/// `Retry-After`, in seconds or as a date, makes the pause at least as long, up to an hour: of this
/// event if it is retryable, of all events if the endpoint is unavailable. A redirect is not
/// followed, since it could turn the POST into a GET, and take the credentials to another host.
///
/// # Order and concurrency
///
/// Events of one ordering key are sent one after the other, different keys and events without a key
/// side by side. [`concurrency`](Self::concurrency) holds for the publisher with all its clones,
/// however many calls a relay makes at once.
///
/// **Set it for your endpoint.** An event that waits here for its turn, for longer than the relay's
/// [`publish_timeout`](idem_runtime::Relay::publish_timeout) (30 s), uses up an attempt. The relay
/// hands over up to [`in_hand`](idem_runtime::Relay::in_hand) events (10,000), of which 8 are sent
/// at a time: with the defaults, an endpoint that takes more than 24 ms for a request can't keep up
/// with a full outbox. Raise the concurrency, or lower `in_hand`. With 100 ms a request and
/// `in_hand(1_000, 64 << 20)`, an event waits for 12.5 s at most.
///
/// # TLS
///
/// For `https` add to your own dependencies
/// `reqwest = { version = "0.13", features = ["rustls"] }`, or another TLS feature of it: features
/// add up.
#[derive(Clone)]
pub struct HttpPublisher {
    client: Client,
    /// Whether the client is the user's.
    given_client: bool,
    /// Without credentials and fragment.
    url: Url,
    headers: HeaderMap,
    timeout: Duration,
    concurrency: usize,
    permits: Arc<Semaphore>,
    judge: Arc<Judge>,
}

/// Shows neither the query of the URL, nor its password, nor the headers.
impl fmt::Debug for HttpPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpPublisher")
            .field("host", &self.url.host_str())
            .field("path", &self.url.path())
            .field("timeout", &self.timeout)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}

impl HttpPublisher {
    /// A publisher to this URL, with a timeout of 10 s and at most 8 requests at once.
    ///
    /// A user and a password in the URL (`https://user:password@host/events`) are sent as basic
    /// authentication.
    ///
    /// # Errors
    /// [`HttpPublisherError::Url`], [`HttpPublisherError::Client`].
    pub fn new(url: &str) -> Result<Self, HttpPublisherError> {
        let mut url: Url = url.parse().map_err(|_| HttpPublisherError::Url)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(HttpPublisherError::Url);
        }
        let mut headers = HeaderMap::new();
        if let Some(value) = basic_authentication(&url) {
            headers.insert(AUTHORIZATION, value);
        }
        // Compared with the URL of an answer, which has no credentials and may have no fragment.
        url.set_username("").map_err(|()| HttpPublisherError::Url)?;
        url.set_password(None)
            .map_err(|()| HttpPublisherError::Url)?;
        url.set_fragment(None);
        let (timeout, concurrency) = (Duration::from_secs(10), 8);
        Ok(Self {
            client: own_client(timeout)?,
            given_client: false,
            url,
            headers,
            timeout,
            concurrency,
            permits: Arc::new(Semaphore::new(concurrency)),
            judge: Arc::default(),
        })
    }

    /// Sends by your own client: for TLS roots, client certificates, proxies.
    ///
    /// Give it a `connect_timeout` shorter than [`timeout`](Self::timeout): without it, a host that
    /// is not there looks like an endpoint that does not answer, and events use up attempts. Give
    /// it `redirect::Policy::none()`: an answer that came after a redirect confirms nothing.
    #[must_use]
    pub fn client(mut self, client: Client) -> Self {
        self.client = client;
        self.given_client = true;
        self
    }

    /// Adds a header to each request, or replaces it. Its value is never logged.
    ///
    /// # Errors
    /// [`HttpPublisherError::Header`].
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, HttpPublisherError> {
        let name: HeaderName = name.parse().map_err(|_| HttpPublisherError::Header)?;
        let mut value: HeaderValue = value.parse().map_err(|_| HttpPublisherError::Header)?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(self)
    }

    /// How long one request may take, with its answer; 10 s unless said otherwise. To connect it
    /// may take half of that, and at most 5 s; with [your own client](Self::client), what that
    /// says.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        if !self.given_client {
            // A client was built before, so this one won't fail.
            self.client = own_client(timeout).unwrap_or(self.client);
        }
        self
    }

    /// How many requests run at once; 8 unless said otherwise. Clones that were made before keep
    /// their own bound.
    #[must_use]
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests.clamp(1, Semaphore::MAX_PERMITS);
        self.permits = Arc::new(Semaphore::new(self.concurrency));
        self
    }

    async fn send(&self, message: &Message) -> Result<(), PublishError> {
        let headers = binary_mode(message)?;
        // Never closed.
        let _permit = self.permits.acquire().await;
        let request = self
            .client
            .post(self.url.clone())
            .timeout(self.timeout)
            .headers(self.headers.clone())
            .headers(headers)
            .body(message.payload.clone());
        let answer = request
            .send()
            .await
            .map_err(|error| unanswered(&error.without_url()))?;
        let followed = *answer.url() != self.url;
        let verdict = self
            .judge
            .verdict(answer.status(), answer.headers(), followed);
        // The head of the answer decides the verdict. The rest is read so that the connection is
        // free for the next event.
        let _ = tokio::time::timeout(SLOWEST_ANSWER, read_to_end(answer)).await;
        verdict
    }
}

/// Unless the answer is long.
async fn read_to_end(mut answer: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = answer.chunk().await {
        read += chunk.len();
        if read > LONGEST_ANSWER {
            break;
        }
    }
}

impl Publisher for HttpPublisher {
    async fn publish(&self, batch: PublishBatch) {
        in_order(batch, self.concurrency, |message| async move {
            self.send(&message).await
        })
        .await;
    }
}

/// A client that tells a host that is not there from an endpoint that does not answer.
fn own_client(timeout: Duration) -> Result<Client, HttpPublisherError> {
    Client::builder()
        .redirect(Policy::none())
        .connect_timeout((timeout / 2).min(Duration::from_secs(5)))
        .user_agent(concat!("idem-http/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| HttpPublisherError::Client(error.to_string()))
}

/// The credentials in a URL.
fn basic_authentication(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decode = |text| percent_decode_str(text).collect::<Vec<u8>>();
    let user = decode(url.username());
    let password = decode(url.password().unwrap_or_default());
    let pair = [user.as_slice(), b":", password.as_slice()].concat();
    let mut value: HeaderValue = format!("Basic {}", BASE64_STANDARD.encode(pair))
        .parse()
        .ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests;
