//! Messages as AMQP 0.9.1 carries them: CloudEvents in binary mode, attributes in headers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use idem_runtime::{Incoming, Message, PublishError, cloud_events};
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};

/// In front of the name of an attribute, as the AMQP binding of CloudEvents says. Others write `_`
/// in place of the colon.
const PREFIXES: [&str; 2] = ["cloudEvents:", "cloudEvents_"];

/// Where a quorum queue says how often it has handed a message out before.
const DELIVERY_COUNT: &str = "x-delivery-count";

/// What each entry of a table has besides its name and its value.
const ENTRY: usize = 6;

/// A message's properties. `limit` is what fits into one frame.
pub(crate) fn properties(message: &Message, limit: usize) -> Result<BasicProperties, PublishError> {
    let short = |what: &str, text: String| {
        ShortString::try_new(text).map_err(|_| {
            PublishError::permanent(format!(
                "{what} is longer than the 255 bytes that AMQP has for it"
            ))
        })
    };
    let mut headers = FieldTable::default();
    let mut size = 0;
    for (name, value) in cloud_events::to_attributes(message) {
        if name == "traceparent" || name == "tracestate" {
            // Also without the prefix, where the consumer's own tracing looks for it.
            size += ENTRY + name.len() + value.len();
            let value = AMQPValue::LongString(value.as_str().into());
            headers.insert(name.as_str().into(), value);
        }
        let name = format!("{}{name}", PREFIXES[0]);
        size += ENTRY + name.len() + value.len();
        let name = short("the name of a header", name)?;
        headers.insert(name, AMQPValue::LongString(value.into()));
    }
    if size > limit {
        return Err(PublishError::permanent(format!(
            "its headers have {size} bytes, and AMQP carries them in one frame of {limit}: raise `frame_max`, or put less into headers"
        )));
    }
    let seconds = message.created_at.duration_since(UNIX_EPOCH);
    let mut properties = BasicProperties::default()
        .with_headers(headers)
        .with_content_type(short("the content type", message.content_type.clone())?)
        .with_message_id(short("the event's ID", message.id.to_string())?)
        // Written to disk.
        .with_delivery_mode(2)
        .with_timestamp(seconds.map_or(0, |since| since.as_secs()));
    if let Ok(kind) = ShortString::try_new(message.kind.clone()) {
        properties = properties.with_type(kind);
    }
    Ok(properties)
}

/// What a queue gave. `counts`: it says how often.
pub(crate) fn incoming(delivery: &mut Delivery, queue: &str, counts: bool) -> Incoming {
    let properties = &delivery.properties;
    let none = FieldTable::default();
    let headers = properties.headers().as_ref().unwrap_or(&none);
    let attributes = headers.inner().iter().filter_map(|(name, value)| {
        let name = PREFIXES
            .iter()
            .find_map(|prefix| name.as_str().strip_prefix(prefix))?;
        Some((name.to_owned(), text(value)?))
    });
    let content_type = properties.content_type().as_ref();
    let content_type = content_type.map(|content_type| content_type.as_str().to_owned());
    let body = std::mem::take(&mut delivery.data);
    let mut incoming = Incoming::from_attributes(attributes, content_type, body);
    let is_event = !incoming.id.is_empty() || incoming.malformed().is_some();
    if !is_event {
        let name = |property: &Option<ShortString>| {
            let name = property.as_ref().map(ShortString::as_str);
            name.unwrap_or_default().to_owned()
        };
        incoming.id = name(properties.message_id());
        incoming.kind = name(properties.kind());
        incoming.published_at = properties.timestamp().map(time);
    }
    for (name, value) in headers.inner() {
        // What the broker adds is for the broker.
        let is_its_own = name.as_str().starts_with("x-");
        let is_attribute = PREFIXES
            .iter()
            .any(|prefix| name.as_str().starts_with(prefix));
        if is_its_own || is_attribute || incoming.headers.contains_key(name.as_str()) {
            continue;
        }
        if let Some(value) = text(value) {
            incoming.headers.insert(name.as_str().to_owned(), value);
        }
    }
    if incoming.topic.is_empty() {
        let routing_key = delivery.routing_key.as_str();
        let topic = if routing_key.is_empty() {
            queue
        } else {
            routing_key
        };
        topic.clone_into(&mut incoming.topic);
    }
    let before = headers.inner().get(DELIVERY_COUNT).and_then(number);
    incoming.redelivered = delivery.redelivered || before.is_some_and(|before| before > 0);
    incoming.count = match before {
        Some(before) => Some(before.saturating_add(1)),
        // Before the second delivery there is no such header.
        None if counts && !incoming.redelivered => Some(1),
        None => None,
    };
    incoming
}

fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds))
        .unwrap_or(UNIX_EPOCH)
}

/// A value that a header of ours can be; a table or an array is none.
fn text(value: &AMQPValue) -> Option<String> {
    Some(match value {
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        AMQPValue::ShortString(text) => text.as_str().to_owned(),
        AMQPValue::ByteArray(bytes) => String::from_utf8_lossy(bytes.as_slice()).into_owned(),
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::Float(value) => value.to_string(),
        AMQPValue::Double(value) => value.to_string(),
        AMQPValue::Timestamp(seconds) => seconds.to_string(),
        other => integer(other)?.to_string(),
    })
}

fn integer(value: &AMQPValue) -> Option<i64> {
    Some(match value {
        AMQPValue::ShortShortInt(value) => (*value).into(),
        AMQPValue::ShortShortUInt(value) => (*value).into(),
        AMQPValue::ShortInt(value) => (*value).into(),
        AMQPValue::ShortUInt(value) => (*value).into(),
        AMQPValue::LongInt(value) => (*value).into(),
        AMQPValue::LongUInt(value) => (*value).into(),
        AMQPValue::LongLongInt(value) => *value,
        _ => return None,
    })
}

fn number(value: &AMQPValue) -> Option<u32> {
    integer(value).and_then(|value| value.try_into().ok())
}
