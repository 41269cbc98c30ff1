//! The HTTP protocol binding of CloudEvents 1.0, in both directions.

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use idem_runtime::cloud_events::{
    CloudEvent, DecodeError, from_attributes, from_json, to_attributes,
};
use idem_runtime::{Message, PublishError};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};

/// As section 3.1.3.2 of the binding says: space, quote, percent and all that is not visible ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// In front of the name of an attribute.
const PREFIX: &str = "ce-";

/// The media type of structured mode.
const STRUCTURED: &str = "application/cloudevents+json";

/// A message's headers in binary mode: an attribute each, `datacontenttype` as `Content-Type`.
pub(crate) fn binary_mode(message: &Message) -> Result<HeaderMap, PublishError> {
    let unsendable =
        |what: &str| PublishError::permanent(format!("{what} can't be an HTTP header"));
    let mut headers = HeaderMap::new();
    let content_type = message
        .content_type
        .parse()
        .map_err(|_| unsendable("the content type"))?;
    headers.insert(CONTENT_TYPE, content_type);
    for (name, value) in to_attributes(message) {
        let value: HeaderValue = utf8_percent_encode(&value, ENCODED)
            .to_string()
            .parse()
            .map_err(|_| unsendable(&name))?;
        if name == "traceparent" || name == "tracestate" {
            // Also without the prefix, where the endpoint's own tracing looks for it.
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unsendable(&name))?;
            headers.insert(name, value.clone());
        }
        let name: HeaderName = format!("{PREFIX}{name}")
            .parse()
            .map_err(|_| unsendable("the name of a header"))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Reads the event in a request, in binary mode or in structured mode, from any producer.
///
/// ```
/// use idem_http::cloud_event;
/// use http::HeaderMap;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut headers = HeaderMap::new(); // of the request
/// for (name, value) in [("ce-specversion", "1.0"), ("ce-id", "evt_1"), ("ce-source", "/shop"), ("ce-type", "Paid")] {
///     headers.insert(name, value.parse()?);
/// }
/// let event = cloud_event(&headers, br#"{"cents":500}"#.to_vec())?;
/// assert_eq!((event.id.as_str(), event.kind.as_str()), ("evt_1", "Paid"));
/// # Ok(())
/// # }
/// ```
///
/// Answer 2xx once the event is stored or handled, and not before. The batches of CloudEvents
/// (`application/cloudevents-batch+json`) are not read.
///
/// # Errors
/// See [`DecodeError`]. The same event would fail again: answer 400, and the sender makes it a dead
/// letter.
pub fn cloud_event(headers: &HeaderMap, body: Vec<u8>) -> Result<CloudEvent, DecodeError> {
    let content_type = match headers.get(CONTENT_TYPE) {
        Some(value) => Some(text("content-type", value.as_bytes())?),
        None => None,
    };
    let media_type = content_type.as_deref().unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case(STRUCTURED) {
        return from_json(&body);
    }
    let mut attributes = Vec::new();
    for (name, value) in headers {
        if let Some(name) = name.as_str().strip_prefix(PREFIX) {
            attributes.push((name, text(name, &decoded(value.as_bytes()))?));
        }
    }
    from_attributes(attributes, content_type, body)
}

/// Without its quotes, if it has any, and percent-decoded: section 3.1.3.2.
fn decoded(value: &[u8]) -> Vec<u8> {
    let quoted = value
        .strip_prefix(b"\"")
        .and_then(|value| value.strip_suffix(b"\""));
    let Some(quoted) = quoted else {
        return percent_decode(value).collect();
    };
    let mut unescaped = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(&byte) = bytes.next() {
        // A backslash stands for what follows it.
        let byte = if byte == b'\\' {
            bytes.next()
        } else {
            Some(&byte)
        };
        unescaped.extend(byte);
    }
    percent_decode(&unescaped).collect()
}

fn text(name: &str, bytes: &[u8]) -> Result<String, DecodeError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| DecodeError::NotText(name.to_owned()))
}

#[cfg(test)]
mod tests;
