//! Doors for the targets in `fuzz/` to what is private. `cargo fuzz` alone compiles them
//! (`--cfg fuzzing`): no program that uses this crate ever sees them.

use http::HeaderMap;
use http::header::{HeaderValue, RETRY_AFTER};
use idem_runtime::{Message, PublishError};

use crate::binding::binary_mode;
use crate::publisher::Judge;

/// A message's HTTP headers.
///
/// # Errors
/// It can't be sent.
pub fn headers(message: &Message) -> Result<HeaderMap, PublishError> {
    binary_mode(message)
}

/// What an endpoint's answer means, if its last event was confirmed or not. `None` is no HTTP.
pub fn verdict(works: bool, status: u16, retry_after: &[u8]) -> Option<Result<(), PublishError>> {
    let judge = Judge::default();
    if works {
        judge
            .verdict(http::StatusCode::OK, &HeaderMap::new(), false)
            .ok()?;
    }
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_bytes(retry_after).ok()?);
    Some(judge.verdict(status.try_into().ok()?, &headers, false))
}
