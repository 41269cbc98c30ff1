//! Counts and durations of a relay (feature `metrics`).

use std::sync::Arc;
use std::time::Duration;

/// Describes the metrics of a relay.
#[cfg(feature = "metrics")]
pub(super) fn describe() {
    use metrics::{Unit, describe_counter, describe_histogram};

    describe_counter!(
        PUBLISHED,
        Unit::Count,
        "Events that were confirmed and deleted from the outbox"
    );
    describe_counter!(
        FAILED,
        Unit::Count,
        "Attempts to publish that failed and are made again"
    );
    describe_counter!(
        DEAD_LETTERED,
        Unit::Count,
        "Events that became dead letters"
    );
    describe_histogram!(
        LOOK,
        Unit::Seconds,
        "Time to read what is new in the outbox"
    );
    describe_histogram!(
        FULL_LOOK,
        Unit::Seconds,
        "Time to compare the whole outbox with what the relay knows"
    );
}

#[cfg(feature = "metrics")]
const PUBLISHED: &str = "idem_relay_published_total";
#[cfg(feature = "metrics")]
const FAILED: &str = "idem_relay_failed_total";
#[cfg(feature = "metrics")]
const DEAD_LETTERED: &str = "idem_relay_dead_lettered_total";
#[cfg(feature = "metrics")]
const LOOK: &str = "idem_relay_look_seconds";
#[cfg(feature = "metrics")]
const FULL_LOOK: &str = "idem_relay_full_look_seconds";

#[cfg(feature = "metrics")]
mod recorded {
    use std::collections::HashMap;
    use std::sync::Once;

    use metrics::{counter, histogram};

    use super::{Arc, DEAD_LETTERED, Duration, FAILED, FULL_LOOK, LOOK, PUBLISHED, describe};

    /// In a process that only relays nobody else does it.
    fn describe_once() {
        static DESCRIBED: Once = Once::new();
        DESCRIBED.call_once(describe);
    }

    pub(crate) fn published<'a>(target: &str, topics: impl Iterator<Item = &'a Arc<str>>) {
        count(PUBLISHED, target, topics);
    }

    pub(crate) fn dead_lettered<'a>(target: &str, topics: impl Iterator<Item = &'a Arc<str>>) {
        count(DEAD_LETTERED, target, topics);
    }

    fn count<'a>(name: &'static str, target: &str, topics: impl Iterator<Item = &'a Arc<str>>) {
        describe_once();
        let mut counts: HashMap<&Arc<str>, u64> = HashMap::new();
        for topic in topics {
            *counts.entry(topic).or_default() += 1;
        }
        for (topic, count) in counts {
            counter!(name, "target" => target.to_owned(), "topic" => topic.clone())
                .increment(count);
        }
    }

    pub(crate) fn failed(target: &str, topic: &Arc<str>) {
        describe_once();
        counter!(FAILED, "target" => target.to_owned(), "topic" => topic.clone()).increment(1);
    }

    pub(crate) fn looked(target: &str, took: Duration) {
        describe_once();
        histogram!(LOOK, "target" => target.to_owned()).record(took);
    }

    pub(crate) fn compared(target: &str, took: Duration) {
        describe_once();
        histogram!(FULL_LOOK, "target" => target.to_owned()).record(took);
    }
}

#[cfg(feature = "metrics")]
pub(crate) use recorded::{compared, dead_lettered, failed, looked, published};

#[cfg(not(feature = "metrics"))]
mod unrecorded {
    use super::{Arc, Duration};

    pub(crate) fn published<'a>(_target: &str, _topics: impl Iterator<Item = &'a Arc<str>>) {}

    pub(crate) fn dead_lettered<'a>(_target: &str, _topics: impl Iterator<Item = &'a Arc<str>>) {}

    pub(crate) const fn failed(_target: &str, _topic: &Arc<str>) {}

    pub(crate) const fn looked(_target: &str, _took: Duration) {}

    pub(crate) const fn compared(_target: &str, _took: Duration) {}
}

#[cfg(not(feature = "metrics"))]
pub(crate) use unrecorded::{compared, dead_lettered, failed, looked, published};
