//! Events to an HTTP endpoint: one POST each, CloudEvents in binary mode.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use futures_util::stream::{self, StreamExt as _};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};

use super::cloud_events::attributes;
use crate::message::Message;
use crate::publisher::{PublishError, Publisher};

/// How much of an answer's body is read so that its connection can serve again.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Sends each event by a POST of its own, as CloudEvents 1.0 in binary mode: attributes in headers
/// `ce-...`, the payload as the body.
///
/// | answer | verdict |
/// |---|---|
/// | 2xx | confirmed |
/// | 408, 425, 429, 5xx | tried again, not before `Retry-After` |
/// | any other 4xx | a dead letter at once |
/// | 3xx | tried again: a redirect is not followed, since it could turn the POST into a GET |
/// | none: no connection, a timeout, a cut connection | tried again. The endpoint may have seen the event, and tells by its ID |
///
/// Events of one ordering key are sent one after the other, different keys and events without one
/// side by side.
///
/// For `https` add to your own dependencies
/// `reqwest = { version = "0.13", features = ["rustls"] }`, or another TLS feature of it: features
/// add up.
///
/// ```
/// use std::time::Duration;
/// use idem_runtime::broker::Http;
///
/// # fn main() -> Result<(), idem_runtime::broker::HttpError> {
/// let publisher = Http::new("http://127.0.0.1:8080/events")?
///     .header("authorization", "Bearer ...")?
///     .timeout(Duration::from_secs(5))
///     .source("https://shop.example/orders");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Http {
    client: Client,
    url: Url,
    headers: HeaderMap,
    timeout: Duration,
    concurrency: usize,
    source: Option<String>,
}

/// Shows neither the query of the URL, nor its password, nor the headers.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("host", &self.url.host_str())
            .field("path", &self.url.path())
            .field("timeout", &self.timeout)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}

/// Why an [`Http`] can't be set up. Shows no values.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpError {
    /// The URL can't be read, or is not one of HTTP.
    Url,
    /// The name or the value can't be a header's.
    Header,
    /// The client can't be built.
    Client(String),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => f.write_str(
                "not the URL of an HTTP endpoint, such as `http://127.0.0.1:8080/events`",
            ),
            Self::Header => f.write_str(
                "not an HTTP header: a name has letters, digits and `-`, a value visible ASCII characters",
            ),
            Self::Client(error) => write!(f, "the HTTP client can't be built: {error}"),
        }
    }
}

impl std::error::Error for HttpError {}

impl Http {
    /// To this URL, with a timeout of 10 seconds and at most 8 requests at once.
    ///
    /// # Errors
    /// [`HttpError::Url`], [`HttpError::Client`].
    pub fn new(url: &str) -> Result<Self, HttpError> {
        let url: Url = url.parse().map_err(|_| HttpError::Url)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(HttpError::Url);
        }
        let client = Client::builder()
            .redirect(Policy::none())
            .build()
            .map_err(|error| HttpError::Client(error.to_string()))?;
        Ok(Self {
            client,
            url,
            headers: HeaderMap::new(),
            timeout: Duration::from_secs(10),
            concurrency: 8,
            source: None,
        })
    }

    /// Sends by your own client: for TLS roots, client certificates, proxies. Give it
    /// `redirect::Policy::none()`: an answer that came after a redirect confirms nothing.
    #[must_use]
    pub fn client(mut self, client: Client) -> Self {
        self.client = client;
        self
    }

    /// Adds a header to each request; never logged.
    ///
    /// # Errors
    /// [`HttpError::Header`].
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, HttpError> {
        let name: HeaderName = name.parse().map_err(|_| HttpError::Header)?;
        let mut value: HeaderValue = value.parse().map_err(|_| HttpError::Header)?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(self)
    }

    /// How long one request may take, with its answer; 10 s unless said otherwise.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many requests run at once; 8 unless said otherwise.
    #[must_use]
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests.max(1);
        self
    }

    /// The attribute `source` of each event, a URI reference that names this producer. Without it,
    /// the topic.
    #[must_use]
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Sends the messages of one key, up to the first one that must come again.
    async fn send_in_order(
        &self,
        messages: &[Message],
        places: Vec<usize>,
    ) -> Vec<(usize, Result<(), PublishError>)> {
        let mut verdicts = Vec::with_capacity(places.len());
        let mut failed = false;
        for place in places {
            let verdict = if failed {
                Err(PublishError::held_back())
            } else {
                self.send(&messages[place]).await
            };
            failed |= verdict.as_ref().is_err_and(|error| !error.is_permanent());
            verdicts.push((place, verdict));
        }
        verdicts
    }

    async fn send(&self, message: &Message) -> Result<(), PublishError> {
        let request = self
            .client
            .post(self.url.clone())
            .timeout(self.timeout)
            .headers(self.headers.clone())
            .headers(binary_mode(message, self.source.as_deref())?)
            .body(message.payload.clone());
        let mut answer = request
            .send()
            .await
            .map_err(|error| unanswered(&error.without_url()))?;
        let mut verdict = judge(answer.status(), answer.headers());
        if verdict.is_ok() && *answer.url() != self.url {
            verdict = Err(PublishError::retryable("the endpoint redirects"));
        }
        // The head of the answer decides the verdict. The rest is read so that the connection is
        // free for the next event.
        let mut read = 0;
        while let Ok(Some(chunk)) = answer.chunk().await {
            read += chunk.len();
            if read > LONGEST_ANSWER {
                break;
            }
        }
        verdict
    }
}

impl Publisher for Http {
    async fn publish(&self, messages: &[Message]) -> Vec<Result<(), PublishError>> {
        let sent = stream::iter(lanes(messages))
            .map(|places| self.send_in_order(messages, places))
            .buffer_unordered(self.concurrency)
            .concat()
            .await;
        let mut sent = sent;
        sent.sort_unstable_by_key(|(place, _)| *place);
        sent.into_iter().map(|(_, verdict)| verdict).collect()
    }
}

/// The places of the messages, those of one key together and in order.
fn lanes(messages: &[Message]) -> Vec<Vec<usize>> {
    let mut lanes: Vec<Vec<usize>> = Vec::new();
    let mut lane_of = HashMap::new();
    for (place, message) in messages.iter().enumerate() {
        let lane = match &message.key {
            Some(key) => *lane_of.entry(key).or_insert(lanes.len()),
            None => lanes.len(),
        };
        if lane == lanes.len() {
            lanes.push(Vec::new());
        }
        lanes[lane].push(place);
    }
    lanes
}

/// The headers of the HTTP protocol binding: an attribute each, `datacontenttype` as
/// `Content-Type`.
pub(super) fn binary_mode(
    message: &Message,
    source: Option<&str>,
) -> Result<HeaderMap, PublishError> {
    let unsendable =
        |what: &str| PublishError::permanent(format!("{what} can't be an HTTP header"));
    let mut headers = HeaderMap::new();
    let content_type = message
        .content_type
        .parse()
        .map_err(|_| unsendable("the content type"))?;
    headers.insert(CONTENT_TYPE, content_type);
    for (name, value) in attributes(message, source) {
        let value: HeaderValue = percent_encode(&value)
            .parse()
            .map_err(|_| unsendable(&name))?;
        if name == "traceparent" || name == "tracestate" {
            // Also without the prefix, where the endpoint's own tracing looks for it.
            headers.insert(
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| unsendable(&name))?,
                value.clone(),
            );
        }
        let name: HeaderName = format!("ce-{name}")
            .parse()
            .map_err(|_| unsendable(&name))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// As section 3.1.3.2 of the binding says: space, quote, percent and all that is not visible ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

fn percent_encode(value: &str) -> String {
    utf8_percent_encode(value, ENCODED).to_string()
}

pub(super) fn judge(status: StatusCode, headers: &HeaderMap) -> Result<(), PublishError> {
    let reason = || format!("the endpoint answered {}", status.as_u16());
    match status.as_u16() {
        200..=299 => Ok(()),
        408 | 425 | 429 => Err(PublishError::retryable(reason()).after(retry_after(headers))),
        400..=499 => Err(PublishError::permanent(reason())),
        _ => Err(PublishError::retryable(reason()).after(retry_after(headers))),
    }
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Duration {
    let value = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok());
    let Some(value) = value.map(str::trim) else {
        return Duration::ZERO;
    };
    value.parse().map_or_else(
        |_| {
            httpdate::parse_http_date(value)
                .ok()
                .and_then(|date| date.duration_since(SystemTime::now()).ok())
                .unwrap_or(Duration::ZERO)
        },
        Duration::from_secs,
    )
}

/// The innermost cause says most ("connection refused").
fn unanswered(error: &reqwest::Error) -> PublishError {
    if error.is_timeout() {
        return PublishError::retryable("the endpoint did not answer in time");
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    PublishError::retryable(format!("the endpoint did not answer: {cause}"))
}

#[cfg(test)]
mod tests;
