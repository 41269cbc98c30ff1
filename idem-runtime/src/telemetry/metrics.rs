//! Counts and durations for the recorder of the crate `metrics` (feature `metrics`).

use std::collections::BTreeSet;
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use metrics::{Unit, counter, gauge, histogram};

const CALLS: &str = "idem_calls_total";
const DURATION: &str = "idem_call_duration_seconds";
const PENDING: &str = "idem_outbox_pending";
const OLDEST: &str = "idem_outbox_oldest_age_seconds";
const DEAD_LETTERS: &str = "idem_dead_letters";
const PURGED_KEYS: &str = "idem_purged_keys_total";
const PURGED_ATTEMPTS: &str = "idem_purged_attempts_total";

/// Describes the metrics of this crate to the recorder that is installed. Call it after installing
/// one. The first call of a handler does it too, once, and so does
/// [`spawn_upkeep`](crate::spawn_upkeep), which sets the gauges and counts what is purged. A relay
/// and a consumer describe their own.
///
/// | metric | kind, unit | labels |
/// |---|---|---|
/// | `idem_calls_total` | counter, calls | `scope`, `outcome` |
/// | `idem_call_duration_seconds` | histogram, seconds | `scope`, `outcome` |
/// | `idem_outbox_pending` | gauge, events that are not published yet | `topic` |
/// | `idem_outbox_oldest_age_seconds` | gauge, seconds that the oldest of them has waited; 0 if there is none | `topic` |
/// | `idem_dead_letters` | gauge, events that were given up | `topic` |
/// | `idem_purged_keys_total` | counter, expired keys that this process deleted | |
/// | `idem_purged_attempts_total` | counter, failed attempts that nothing had touched for 7 days and that this process deleted | |
/// | `idem_relay_published_total` | counter, events that were confirmed and deleted | `target`, `topic` |
/// | `idem_relay_failed_total` | counter, attempts that failed and are made again | `target`, `topic` |
/// | `idem_relay_dead_lettered_total` | counter, events that became dead letters | `target`, `topic` |
/// | `idem_relay_look_seconds` | histogram, seconds to read what is new in the outbox | `target` |
/// | `idem_relay_full_look_seconds` | histogram, seconds to compare the whole outbox with what the relay knows | `target` |
/// | `idem_consumer_received_total` | counter, deliveries that came, from the source or from what was put aside | `consumer`, `topic` |
/// | `idem_consumer_deliveries_total` | counter, attempts and deliveries by how they ended | `consumer`, `scope`, `outcome` |
/// | `idem_consumer_age_seconds` | histogram, seconds from when a message was published to when it was handled, by the clocks of the two | `consumer`, `topic` |
/// | `idem_consumer_in_hand`, `idem_consumer_in_hand_bytes` | gauges, what is in memory: it runs, waits or is being settled | `consumer` |
/// | `idem_consumer_parked` | gauge, messages that are put aside in the database, as this consumer last read it | `consumer` |
///
/// `outcome` is `executed`, `replayed`, `replayed_error`, `handler_error`, `in_flight`,
/// `fingerprint_mismatch`, `rolled_back`, `commit_unknown`, `result_undecodable`,
/// `result_not_faithful`, `unfinished`, `empty_key`, `foreign_transaction`, `isolation_too_weak`,
/// `not_permitted`, `too_large`, `event_conflict`, `batch_length`, `settings_changed`,
/// `duplicate_scopes`, `not_migrated`, `store_error`, `cancelled` (the future was dropped) or
/// `panicked`. A call that joined the caller's transaction counts as `executed` when it ends,
/// whatever the caller does then. A batch counts once for each of its deliveries.
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
    metrics::describe_gauge!(PENDING, Unit::Count, "Events that are not published yet");
    metrics::describe_gauge!(
        OLDEST,
        Unit::Seconds,
        "How long the oldest event has waited to be published"
    );
    metrics::describe_gauge!(DEAD_LETTERS, Unit::Count, "Events that were given up");
    super::relay::describe();
    super::consumer::describe();
    metrics::describe_counter!(PURGED_KEYS, Unit::Count, "Expired keys that were deleted");
    metrics::describe_counter!(
        PURGED_ATTEMPTS,
        Unit::Count,
        "Failed attempts that nothing had touched for 7 days and that were deleted"
    );
}

fn describe_once() {
    static DESCRIBED: Once = Once::new();
    DESCRIBED.call_once(describe_metrics);
}

pub(crate) fn purged(keys: u64, attempts: u64) {
    describe_once();
    counter!(PURGED_KEYS).increment(keys);
    counter!(PURGED_ATTEMPTS).increment(attempts);
}

/// The gauges of one topic.
#[derive(Debug)]
pub(crate) struct TopicGauges<'a> {
    pub(crate) topic: &'a str,
    pub(crate) pending: u64,
    pub(crate) oldest: Option<Duration>,
    pub(crate) dead_letters: u64,
}

/// The topics whose gauges are set: one that has nothing left goes to 0, and not to where it was.
#[derive(Debug, Default)]
pub(crate) struct BacklogGauges(Mutex<BTreeSet<String>>);

impl BacklogGauges {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is a float, and exact up to 2^53"
    )]
    pub(crate) fn set<'a>(&self, topics: impl Iterator<Item = TopicGauges<'a>>) {
        describe_once();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = std::mem::take(&mut *seen);
        for topic in topics {
            let oldest = topic.oldest.unwrap_or_default().as_secs_f64();
            let (pending, dead) = (topic.pending as f64, topic.dead_letters as f64);
            set(topic.topic, pending, oldest, dead);
            gone.remove(topic.topic);
            seen.insert(topic.topic.to_owned());
        }
        for topic in gone {
            set(&topic, 0.0, 0.0, 0.0);
        }
    }
}

fn set(topic: &str, pending: f64, oldest: f64, dead_letters: f64) {
    for (name, value) in [
        (PENDING, pending),
        (OLDEST, oldest),
        (DEAD_LETTERS, dead_letters),
    ] {
        gauge!(name, "topic" => topic.to_owned()).set(value);
    }
}

pub(crate) fn ended(scope: &'static str, outcome: &'static str, duration: Duration) {
    describe_once();
    counter!(CALLS, "scope" => scope, "outcome" => outcome).increment(1);
    histogram!(DURATION, "scope" => scope, "outcome" => outcome).record(duration);
}
