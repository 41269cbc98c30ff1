//! Counts and durations for the recorder of the crate `metrics` (feature `metrics`).

use std::sync::Once;
use std::time::Duration;

use metrics::{Unit, counter, histogram};

const CALLS: &str = "idem_calls_total";
const DURATION: &str = "idem_call_duration_seconds";

/// Describes the metrics of this crate to the recorder that is installed. Call it after installing
/// one. The first call of a handler does it, too, once.
///
/// | metric | kind, unit | labels |
/// |---|---|---|
/// | `idem_calls_total` | counter, calls | `scope`, `outcome` |
/// | `idem_call_duration_seconds` | histogram, seconds | `scope`, `outcome` |
///
/// `outcome` is `executed`, `replayed`, `replayed_error`, `handler_error`, `in_flight`,
/// `fingerprint_mismatch`, `rolled_back`, `commit_unknown`, `result_undecodable`,
/// `result_not_faithful`, `unfinished`, `empty_key`, `foreign_transaction`, `isolation_too_weak`,
/// `not_permitted`, `too_large`, `event_conflict`, `not_migrated`, `store_error`, `cancelled` (the
/// future was dropped) or `panicked`. A call that joined the caller's transaction counts as
/// `executed` when it ends, whatever the caller does then.
pub fn describe_metrics() {
    metrics::describe_counter!(
        CALLS,
        Unit::Count,
        "Calls of idempotent and outbox handlers, by how they ended"
    );
    metrics::describe_histogram!(
        DURATION,
        Unit::Seconds,
        "Time from the claim of a key to the end of its transaction, waits included"
    );
}

pub(crate) fn ended(scope: &'static str, outcome: &'static str, duration: Duration) {
    static DESCRIBED: Once = Once::new();
    DESCRIBED.call_once(describe_metrics);
    counter!(CALLS, "scope" => scope, "outcome" => outcome).increment(1);
    histogram!(DURATION, "scope" => scope, "outcome" => outcome).record(duration);
}
