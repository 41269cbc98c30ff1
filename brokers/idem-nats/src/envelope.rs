//! Messages as NATS carries them: CloudEvents in binary mode, attributes in headers.

use std::borrow::Cow;
use std::time::SystemTime;

use async_nats::HeaderMap;
use async_nats::jetstream::message::Info;
use idem_runtime::{Incoming, Message, cloud_events};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// As section 3.1.3.2 of the binding says: space, quote, percent and all that is not visible ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// In front of the name of an attribute.
const PREFIX: &str = "ce-";

/// By which JetStream knows a message again.
const MESSAGE_ID: &str = "Nats-Msg-Id";

/// The stream that must take a message.
const EXPECTED_STREAM: &str = "Nats-Expected-Stream";

/// What only the servers have a use for.
const OWN: &str = "Nats-";

const CONTENT_TYPE: &str = "Content-Type";

/// A message's headers. `stream`: the one that must take it.
pub(crate) fn headers(message: &Message, stream: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(MESSAGE_ID, message.id.to_string());
    if let Some(stream) = stream {
        headers.insert(EXPECTED_STREAM, stream);
    }
    let content_type = encoded(message.content_type.clone());
    headers.insert([PREFIX, "datacontenttype"].concat(), content_type);
    // Names are lower-case letters and digits.
    for (name, value) in cloud_events::to_attributes(message) {
        let value = encoded(value);
        if name == "traceparent" || name == "tracestate" {
            // Also without the prefix, where the consumer's own tracing looks for it.
            headers.insert(name.as_str(), value.as_str());
        }
        headers.insert([PREFIX, &name].concat(), value);
    }
    headers
}

/// Percent-encoded where it must be: section 3.1.3.2.
fn encoded(value: String) -> String {
    match Cow::from(utf8_percent_encode(&value, ENCODED)) {
        Cow::Owned(encoded) => encoded,
        Cow::Borrowed(_) => value,
    }
}

/// How many bytes a message has for the limit of the server: headers and payload, as they are sent.
pub(crate) fn size(headers: &HeaderMap, payload: usize) -> usize {
    const VERSION: usize = "NATS/1.0\r\n".len();
    const LINE: usize = ": \r\n".len();
    let values = headers
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    let name_and_value = |(name, value): (&async_nats::HeaderName, &async_nats::HeaderValue)| {
        AsRef::<str>::as_ref(name).len() + value.as_str().len() + LINE
    };
    VERSION + values.map(name_and_value).sum::<usize>() + "\r\n".len() + payload
}

/// What a stream gave.
pub(crate) fn incoming(
    headers: &HeaderMap,
    body: Vec<u8>,
    subject: &str,
    info: &Info<'_>,
) -> Incoming {
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .filter_map(|(name, values)| Some((name.as_ref(), values.last()?.as_str())))
        .collect();
    let named = |wanted: &str| {
        let of_this_name = |(name, _): &&(&str, &str)| name.eq_ignore_ascii_case(wanted);
        headers.iter().find(of_this_name).map(|(_, value)| *value)
    };
    let attributes = headers.iter().filter_map(|(name, value)| {
        let name = attribute(name)?;
        Some((name.to_owned(), decoded(value)))
    });
    let content_type = named(CONTENT_TYPE).map(str::to_owned);
    let mut incoming = Incoming::from_attributes(attributes, content_type, body);
    let is_event = !incoming.id.is_empty() || incoming.malformed().is_some();
    if !is_event && let Some(id) = named(MESSAGE_ID) {
        id.clone_into(&mut incoming.id);
    }
    for (name, value) in &headers {
        let is_taken = attribute(name).is_some()
            || incoming.headers.contains_key(*name)
            || name.eq_ignore_ascii_case(CONTENT_TYPE)
            || name.starts_with(OWN);
        if !is_taken {
            incoming.headers.insert((*name).into(), (*value).into());
        }
    }
    if incoming.topic.is_empty() {
        subject.clone_into(&mut incoming.topic);
    }
    if incoming.published_at.is_none() {
        incoming.published_at = Some(SystemTime::from(info.published));
    }
    incoming.position = format!("{}/{}", info.stream, info.stream_sequence);
    incoming.count = u32::try_from(info.delivered).ok();
    incoming.redelivered = info.delivered > 1;
    incoming
}

/// The attribute of a header. Names of headers are in any case.
fn attribute(name: &str) -> Option<&str> {
    let (prefix, attribute) = name.split_at_checked(PREFIX.len())?;
    prefix.eq_ignore_ascii_case(PREFIX).then_some(attribute)
}

/// Without its quotes, if it has any, and percent-decoded: section 3.1.3.2. What is no text then is
/// left as it came.
fn decoded(value: &str) -> String {
    let quoted = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    let unescaped = quoted.map(|quoted| {
        let mut characters = quoted.chars();
        let mut unescaped = String::with_capacity(quoted.len());
        while let Some(character) = characters.next() {
            // A backslash stands for what follows it.
            match character {
                '\\' => unescaped.extend(characters.next()),
                other => unescaped.push(other),
            }
        }
        unescaped
    });
    let value = unescaped.as_deref().unwrap_or(value);
    let text = percent_decode_str(value).decode_utf8();
    text.map_or_else(|_| value.to_owned(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_quoted_or_not_and_decoded_once() {
        for (sent, read) in [
            ("a%20b", "a b"),
            ("%2525", "%25"),
            ("\"a \\\"b\\\" \\\\\"", "a \"b\" \\"),
            ("Euro%20%e2%82%AC", "Euro €"),
            // Bytes that are no text.
            ("%C0%A0", "%C0%A0"),
            ("", ""),
        ] {
            assert_eq!(decoded(sent), read, "{sent}");
        }
    }

    #[test]
    fn the_names_of_attributes_are_read_in_any_case() {
        assert_eq!(attribute("Ce-Id"), Some("Id"));
        assert_eq!(attribute("ce-id"), Some("id"));
        assert_eq!((attribute("id"), attribute("é-id")), (None, None));
    }

    #[test]
    fn the_size_is_that_of_what_is_sent() {
        let mut headers = HeaderMap::new();
        headers.insert("a", "bc");
        assert_eq!(size(&headers, 5), "NATS/1.0\r\na: bc\r\n\r\n".len() + 5);
    }
}
