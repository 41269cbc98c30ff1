//! The metrics of a consumer.

use std::sync::Arc;
use std::time::SystemTime;

use metrics::{Gauge, Unit, counter, gauge, histogram};
use metrics::{describe_counter, describe_gauge, describe_histogram};

const RECEIVED: &str = "idem_consumer_received_total";
const ENDED: &str = "idem_consumer_deliveries_total";
const AGE: &str = "idem_consumer_age_seconds";
const IN_HAND: &str = "idem_consumer_in_hand";
const IN_HAND_BYTES: &str = "idem_consumer_in_hand_bytes";
const PARKED: &str = "idem_consumer_parked";

/// Describes the metrics of a consumer.
pub(crate) fn describe() {
    describe_counter!(RECEIVED, Unit::Count, "Deliveries that a consumer received");
    describe_counter!(
        ENDED,
        Unit::Count,
        "Attempts and deliveries of a consumer, by how they ended"
    );
    describe_histogram!(
        AGE,
        Unit::Seconds,
        "Time from when a message was published to when it was handled, by the clocks of the two"
    );
    describe_gauge!(
        IN_HAND,
        Unit::Count,
        "Deliveries in the memory of a consumer"
    );
    describe_gauge!(IN_HAND_BYTES, Unit::Bytes, "Their size");
    describe_gauge!(
        PARKED,
        Unit::Count,
        "Messages that a consumer has put aside in the database"
    );
}

/// The metrics of one consumer.
pub(crate) struct ConsumerMetrics {
    consumer: Arc<str>,
    in_hand: Gauge,
    in_hand_bytes: Gauge,
    parked: Gauge,
}

impl ConsumerMetrics {
    pub(crate) fn new(consumer: Arc<str>) -> Self {
        describe();
        let gauge = |name: &'static str| gauge!(name, "consumer" => Arc::clone(&consumer));
        Self {
            in_hand: gauge(IN_HAND),
            in_hand_bytes: gauge(IN_HAND_BYTES),
            parked: gauge(PARKED),
            consumer,
        }
    }

    pub(crate) fn received(&self, topic: &str) {
        let consumer = Arc::clone(&self.consumer);
        counter!(RECEIVED, "consumer" => consumer, "topic" => topic.to_owned()).increment(1);
    }

    pub(crate) fn ended(&self, scope: &'static str, outcome: &'static str) {
        let consumer = Arc::clone(&self.consumer);
        counter!(ENDED, "consumer" => consumer, "scope" => scope, "outcome" => outcome)
            .increment(1);
    }

    /// How old a message is, now that it is handled. Of a clock that is ahead nothing is known.
    pub(crate) fn handled(&self, topic: &str, published_at: Option<SystemTime>) {
        let age = published_at.and_then(|at| SystemTime::now().duration_since(at).ok());
        if let Some(age) = age {
            let consumer = Arc::clone(&self.consumer);
            histogram!(AGE, "consumer" => consumer, "topic" => topic.to_owned()).record(age);
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is a float, and exact up to 2^53"
    )]
    pub(crate) fn holds(&self, messages: usize, bytes: usize, parked: u64) {
        self.in_hand.set(messages as f64);
        self.in_hand_bytes.set(bytes as f64);
        self.parked.set(parked as f64);
    }
}

impl Drop for ConsumerMetrics {
    /// What is parked stays so; nothing is in the memory of a consumer that has ended.
    fn drop(&mut self) {
        self.in_hand.set(0.0);
        self.in_hand_bytes.set(0.0);
    }
}
