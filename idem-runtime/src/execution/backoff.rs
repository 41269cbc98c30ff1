//! The pause before another attempt.

use std::time::Duration;

use rand::Rng as _;
use tokio::time::{Instant, timeout_at};

/// A random part of 10 ms after the first attempt, doubled with each other one up to 1 s: full
/// jitter, as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
pub(crate) async fn back_off(attempt: u32) {
    let millis = rand::rng().random_range(0..=longest_pause(attempt));
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// The same, but no longer than to a deadline that is still to come.
pub(super) async fn back_off_until(attempt: u32, deadline: Instant) {
    let pause = back_off(attempt);
    if Instant::now() < deadline {
        // What comes next has the last word.
        let _elapsed = timeout_at(deadline, pause).await;
    } else {
        pause.await;
    }
}

/// Milliseconds.
pub(super) fn longest_pause(attempt: u32) -> u64 {
    (5 << attempt.min(8)).min(1_000)
}
