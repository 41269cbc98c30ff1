//! A message that came in, as the tables hold it.

use std::time::{Duration, SystemTime};

use crate::message::{Headers, Message};

/// What names a message to its consumer: an ID is unique within its source.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId {
    pub(crate) source: String,
    pub(crate) id: String,
}

/// A message with all that came with it, as the tables hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptMessage {
    pub(crate) message: MessageId,
    pub(crate) topic: String,
    pub(crate) key: Option<String>,
    pub(crate) kind: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) content_type: String,
    pub(crate) headers: Headers,
    pub(crate) published_at: SystemTime,
}

impl KeptMessage {
    /// Headers as the tables hold them.
    pub(crate) fn headers_json(&self) -> String {
        serde_json::to_string(&self.headers).expect("texts serialize")
    }

    /// Microseconds since 1970, within what every database can hold.
    pub(crate) fn micros(&self) -> u64 {
        micros(self.published_at)
    }

    /// What a row of one of the tables holds.
    pub(crate) fn of_row(message: MessageId, row: Message) -> Self {
        Self {
            message,
            topic: row.topic,
            key: row.key,
            kind: row.kind,
            payload: row.payload,
            content_type: row.content_type,
            headers: row.headers,
            published_at: row.created_at,
        }
    }
}

/// The last second of the year 9999.
const LATEST: u64 = 253_402_300_799_000_000;

fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let micros = since.as_ref().map_or(0, Duration::as_micros);
    u64::try_from(micros).unwrap_or(u64::MAX).min(LATEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_moved_to_what_every_database_can_hold() {
        let epoch = SystemTime::UNIX_EPOCH;
        let day = Duration::from_hours(24);
        assert_eq!(micros(epoch - day), 0);
        assert_eq!(micros(epoch + day), 86_400_000_000);
        assert_eq!(micros(epoch + day * 365 * 9_000), LATEST);
    }
}
