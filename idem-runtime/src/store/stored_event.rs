//! An event as a table holds it, where others than this crate may have written.

use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::outbox_store::{FoundEvent, Place, time};
use crate::event::EventId;
use crate::message::{Headers, Message};

/// The columns of an event. A text is bytes here, since not every database keeps others out.
#[derive(Debug)]
pub(super) struct StoredEvent {
    pub(super) id: Uuid,
    pub(super) topic: Vec<u8>,
    pub(super) key: Option<Vec<u8>>,
    pub(super) kind: Vec<u8>,
    pub(super) payload: Vec<u8>,
    pub(super) content_type: Vec<u8>,
    pub(super) headers: Vec<u8>,
    /// Microseconds since 1970. `None`: it is no time, such as infinity.
    pub(super) created_at: Option<i64>,
}

impl StoredEvent {
    /// How many bytes it holds, as the statements of a look count them.
    fn size(&self) -> usize {
        let key = self.key.as_ref().map_or(0, Vec::len);
        self.payload.len() + self.headers.len() + self.topic.len() + self.kind.len() + key
    }

    /// The message, or why the row can't be one. The reason holds nothing of the row.
    pub(super) fn into_message(self) -> Result<Message, String> {
        let text = |column: &str, bytes: Vec<u8>| {
            String::from_utf8(bytes).map_err(|_| format!("the column `{column}` is not UTF-8"))
        };
        let created_at = self
            .created_at
            .ok_or("the column `created_at` holds no time that can be read")?;
        // The error of serde_json can quote a value.
        let headers = serde_json::from_slice(&self.headers).map_err(|error| {
            format!(
                "the column `headers` is not a JSON object of texts (column {})",
                error.column()
            )
        })?;
        Ok(Message {
            id: EventId::new(self.id),
            source: String::new(),
            topic: text("topic", self.topic)?,
            key: self.key.map(|key| text("key", key)).transpose()?,
            kind: text("type", self.kind)?,
            payload: self.payload,
            content_type: text("content_type", self.content_type)?,
            headers,
            created_at: time(created_at),
        })
    }

    /// The message, as much of it as can be read.
    pub(super) fn into_readable(self) -> Message {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Message {
            id: EventId::new(self.id),
            source: String::new(),
            topic: text(self.topic),
            key: self.key.map(text),
            kind: text(self.kind),
            payload: self.payload,
            content_type: text(self.content_type),
            headers: serde_json::from_slice(&self.headers).unwrap_or_else(|_| Headers::new()),
            created_at: self.created_at.map_or(SystemTime::UNIX_EPOCH, time),
        }
    }
}

/// What a look reads of an event besides its columns.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) place: Place,
    pub(super) shard: i16,
    pub(super) attempts: Option<i32>,
    /// Microseconds until it is tried again.
    pub(super) retry_in: Option<i64>,
}

impl Found {
    /// With what the row holds.
    pub(super) fn event(self, stored: StoredEvent) -> FoundEvent {
        FoundEvent {
            place: self.place,
            // None of the 64, if somebody else wrote it.
            shard: u8::try_from(self.shard).unwrap_or(u8::MAX),
            attempts: self.attempts.unwrap_or(0).unsigned_abs(),
            retry_in: self
                .retry_in
                .and_then(|micros| u64::try_from(micros).ok())
                .filter(|micros| *micros > 0)
                .map(Duration::from_micros),
            size: stored.size(),
            message: stored.into_message(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> StoredEvent {
        StoredEvent {
            id: Uuid::from_u128(7),
            topic: b"t".to_vec(),
            key: Some(b"k".to_vec()),
            kind: b"T".to_vec(),
            payload: b"\xff".to_vec(),
            content_type: b"application/json".to_vec(),
            headers: br#"{"a":"1"}"#.to_vec(),
            created_at: Some(7),
        }
    }

    fn spoilt(spoil: impl FnOnce(&mut StoredEvent)) -> StoredEvent {
        let mut event = stored();
        spoil(&mut event);
        event
    }

    #[test]
    fn a_row_is_a_message_or_says_why_not_without_quoting_itself() {
        let message = stored().into_message().unwrap();
        assert_eq!(message, stored().into_readable());
        assert_eq!(
            (message.key.as_deref(), message.headers.len()),
            (Some("k"), 1)
        );
        for (event, column) in [
            (
                spoilt(|event| event.topic = b"secret\xff".to_vec()),
                "topic",
            ),
            (
                spoilt(|event| event.key = Some(b"secret\xff".to_vec())),
                "key",
            ),
            (spoilt(|event| event.kind = b"secret\xff".to_vec()), "type"),
            (
                spoilt(|event| event.content_type = b"secret\xff".to_vec()),
                "content_type",
            ),
            (
                spoilt(|event| event.headers = br#"{"a":"secret"#.to_vec()),
                "headers",
            ),
            (
                spoilt(|event| event.headers = br#"["secret"]"#.to_vec()),
                "headers",
            ),
            (
                spoilt(|event| event.headers = br#""secret""#.to_vec()),
                "headers",
            ),
            (spoilt(|event| event.created_at = None), "created_at"),
        ] {
            let reason = event.into_message().unwrap_err();
            assert!(reason.contains(&format!("`{column}`")), "{reason}");
            assert!(!reason.contains("secret"), "{reason}");
        }
    }

    #[test]
    fn what_can_be_read_of_a_row_is_shown() {
        let event = spoilt(|event| {
            event.topic = b"t\xff".to_vec();
            event.headers = b"[7]".to_vec();
            event.created_at = None;
        });
        let message = event.into_readable();
        assert_eq!(message.topic, "t\u{fffd}");
        assert_eq!(message.headers, Headers::new());
        assert_eq!(message.created_at, SystemTime::UNIX_EPOCH);
        assert_eq!(message.payload, b"\xff");
    }
}
