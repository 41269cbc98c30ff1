//! Messages as Kafka carries them: CloudEvents in binary mode, attributes in headers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use idem_runtime::{Incoming, Message, cloud_events};
use rdkafka::Message as _;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, OwnedHeaders};

/// In front of the name of an attribute, as the Kafka binding of CloudEvents says.
const PREFIX: &str = "ce_";

const CONTENT_TYPE: &str = "content-type";

/// Set on a record without a value, which deletes its key from a compacted topic.
const TOMBSTONE: &str = "kafka_tombstone";

/// A message's headers. Values are text in UTF-8.
pub(crate) fn headers(message: &Message) -> OwnedHeaders {
    let attributes = cloud_events::to_attributes(message);
    let headers = OwnedHeaders::new_with_capacity(attributes.len() + 3);
    let mut headers = with(headers, CONTENT_TYPE, &message.content_type);
    let mut name = String::from(PREFIX);
    for (attribute, value) in &attributes {
        if attribute == "traceparent" || attribute == "tracestate" {
            // Also without the prefix, where the consumer's own tracing looks for it.
            headers = with(headers, attribute, value);
        }
        name.truncate(PREFIX.len());
        name.push_str(attribute);
        headers = with(headers, &name, value);
    }
    headers
}

fn with(headers: OwnedHeaders, key: &str, value: &str) -> OwnedHeaders {
    let value = Some(value);
    headers.insert(Header { key, value })
}

/// When it was emitted, in milliseconds since 1970.
pub(crate) fn timestamp(message: &Message) -> i64 {
    let since = message.created_at.duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// What a partition gave.
pub(crate) fn incoming(message: &BorrowedMessage<'_>) -> Incoming {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: Vec<(&str, &[u8])> = match message.headers() {
        Some(headers) => headers
            .iter()
            .map(|header| (header.key, header.value.unwrap_or_default()))
            .collect(),
        None => Vec::new(),
    };
    let attributes = headers
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?.to_owned(), text(value))));
    let content_type = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE))
        .map(|(_, value)| text(value));
    let body = message.payload().unwrap_or_default().to_vec();
    let mut incoming = Incoming::from_attributes(attributes, content_type, body);
    for (name, value) in &headers {
        let is_taken = name.starts_with(PREFIX)
            || name.eq_ignore_ascii_case(CONTENT_TYPE)
            || incoming.headers.contains_key(*name);
        if !is_taken {
            incoming.headers.insert((*name).to_owned(), text(value));
        }
    }
    if message.payload().is_none() {
        incoming.headers.insert(TOMBSTONE.into(), "true".into());
    }
    if incoming.key.is_none() {
        // The key of a producer that knows nothing of events.
        let key = message.key().filter(|key| !key.is_empty());
        incoming.key = key.map(text);
    }
    if incoming.topic.is_empty() {
        message.topic().clone_into(&mut incoming.topic);
    }
    if incoming.published_at.is_none() {
        incoming.published_at = message.timestamp().to_millis().and_then(time);
    }
    incoming.position = format!(
        "{}/{}/{}",
        message.topic(),
        message.partition(),
        message.offset()
    );
    incoming
}

fn time(millis: i64) -> Option<SystemTime> {
    let since = Duration::from_millis(millis.try_into().ok()?);
    UNIX_EPOCH.checked_add(since)
}
