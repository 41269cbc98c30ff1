//! What an operator sees of a consumer: a span for each delivery, and counts (feature `metrics`).

use tracing::Span;

use super::link;
use crate::source::Incoming;

/// Describes the metrics of a consumer.
#[cfg(feature = "metrics")]
pub(crate) fn describe() {
    use metrics::{Unit, describe_counter};

    describe_counter!(RECEIVED, Unit::Count, "Deliveries that a consumer received");
    describe_counter!(
        ENDED,
        Unit::Count,
        "Attempts and deliveries of a consumer, by how they ended"
    );
}

#[cfg(not(feature = "metrics"))]
pub(crate) const fn describe() {}

#[cfg(feature = "metrics")]
const RECEIVED: &str = "idem_consumer_received_total";
#[cfg(feature = "metrics")]
const ENDED: &str = "idem_consumer_deliveries_total";

#[cfg(feature = "metrics")]
pub(crate) fn received(consumer: &str, topic: &str) {
    let labels = [
        ("consumer", consumer.to_owned()),
        ("topic", topic.to_owned()),
    ];
    metrics::counter!(RECEIVED, &labels).increment(1);
}

#[cfg(not(feature = "metrics"))]
pub(crate) const fn received(_consumer: &str, _topic: &str) {}

#[cfg(feature = "metrics")]
pub(crate) fn ended(consumer: &str, scope: &'static str, outcome: &'static str) {
    metrics::counter!(ENDED, "consumer" => consumer.to_owned(), "scope" => scope, "outcome" => outcome)
        .increment(1);
}

#[cfg(not(feature = "metrics"))]
pub(crate) const fn ended(_consumer: &str, _scope: &'static str, _outcome: &'static str) {}

/// The span of one attempt. The call of the handler has its own in it. It is linked to the span that
/// published the message, and is in no trace of that: one that is redelivered for hours would never
/// end.
pub(crate) fn span(
    consumer: &str,
    system: &'static str,
    incoming: &Incoming,
    attempt: u32,
) -> Span {
    let span = tracing::info_span!(
        "consume",
        "messaging.operation.type" = "process",
        "messaging.operation.name" = "consume",
        "messaging.system" = system,
        "messaging.destination.name" = incoming.topic,
        "messaging.consumer.group.name" = consumer,
        "messaging.message.id" = incoming.id,
        "cloudevents.event_type" = incoming.kind,
        idem.attempt = attempt,
    );
    link(&span, &incoming.headers);
    span
}
