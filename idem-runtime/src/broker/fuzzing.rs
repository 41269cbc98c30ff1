//! See `crate::fuzzing`.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use uuid::Uuid;

use super::cloud_events::Json;
use super::http::{binary_mode, judge};
use crate::message::Message;
use crate::publisher::{PublishError, Remedy};
use crate::store::{Stored, time};

/// A message of what a row of `idem_outbox` may hold, where others write too: topic, type,
/// content type and headers.
///
/// # Errors
/// Why it is not one.
pub fn message(
    id: u128,
    [topic, kind, content_type, headers]: [String; 4],
    key: Option<String>,
    payload: Vec<u8>,
    created_at: i64,
) -> Result<Message, &'static str> {
    Stored {
        seq: 0,
        attempts: 0,
        id: Uuid::from_u128(id),
        topic,
        key,
        kind,
        payload,
        content_type,
        headers,
        created_at: time(created_at),
    }
    .into_message()
}

/// A message as JSON.
pub fn line(message: &Message, source: Option<&str>) -> Vec<u8> {
    serde_json::to_vec(&Json { message, source }).expect("strings and valid JSON serialize")
}

/// A message's HTTP headers.
///
/// # Errors
/// It can't be sent.
pub fn headers(
    message: &Message,
    source: Option<&str>,
) -> Result<Vec<(String, Vec<u8>)>, PublishError> {
    let headers = binary_mode(message, source)?;
    let pairs = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    Ok(pairs.collect())
}

/// What an endpoint's answer means: `Err(None)` is a dead letter, a duration when to try again.
/// `None` is no HTTP.
pub fn verdict(status: u16, retry_after: &[u8]) -> Option<Result<(), Option<Duration>>> {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_bytes(retry_after).ok()?);
    let verdict = judge(status.try_into().ok()?, &headers);
    Some(verdict.map_err(|error| match error.remedy {
        Remedy::Retry { after } => Some(after),
        Remedy::DeadLetter | Remedy::HeldBack => None,
    }))
}
