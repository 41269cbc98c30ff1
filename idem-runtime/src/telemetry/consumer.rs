//! What an operator sees of a consumer: a span for each attempt, and metrics (feature `metrics`).

#[cfg(feature = "metrics")]
mod recorded;
#[cfg(not(feature = "metrics"))]
mod unrecorded;

use tracing::Span;

#[cfg(feature = "metrics")]
pub(crate) use self::recorded::ConsumerMetrics;
#[cfg(feature = "metrics")]
pub(crate) use self::recorded::describe;
#[cfg(not(feature = "metrics"))]
pub(crate) use self::unrecorded::ConsumerMetrics;
use super::link;
use crate::source::Incoming;

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

/// The span of a batch: linked to those that published its messages.
pub(crate) fn batch_span<'a>(
    consumer: &str,
    system: &'static str,
    kind: &str,
    messages: impl Iterator<Item = &'a Incoming> + Clone,
) -> Span {
    let topic = messages.clone().next().map_or("", |first| &first.topic);
    let span = tracing::info_span!(
        "consume",
        "messaging.operation.type" = "process",
        "messaging.operation.name" = "consume",
        "messaging.system" = system,
        "messaging.destination.name" = topic,
        "messaging.consumer.group.name" = consumer,
        "messaging.batch.message_count" = messages.clone().count() as u64,
        "cloudevents.event_type" = kind,
    );
    for message in messages {
        link(&span, &message.headers);
    }
    span
}
