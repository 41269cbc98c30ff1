//! Pauses that grow.

use std::time::Duration;

use rand::Rng;

/// A random part of what doubles with each failure, up to the cap. Full jitter, as in "Exponential
/// Backoff And Jitter" (AWS Architecture Blog, 2015).
pub(crate) fn full_jitter(
    first: Duration,
    cap: Duration,
    failures: u32,
    rng: &mut impl Rng,
) -> Duration {
    let longest = first
        .saturating_mul(1 << failures.saturating_sub(1).min(30))
        .min(cap);
    longest.mul_f64(rng.random())
}
