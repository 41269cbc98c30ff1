//! The trace that an event belongs to, for its consumers.

/// The current span as a W3C `traceparent`; none where nothing is traced.
#[cfg(feature = "opentelemetry")]
pub(crate) fn traceparent() -> Option<String> {
    use opentelemetry::trace::TraceContextExt as _;
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    let context = tracing::Span::current().context();
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| {
        let flags = span.trace_flags().to_u8();
        format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id())
    })
}

/// Without the feature `opentelemetry` no span has an ID that is known elsewhere.
#[cfg(not(feature = "opentelemetry"))]
pub(crate) const fn traceparent() -> Option<String> {
    None
}

/// Links a span of the relay to the one that emitted a message.
#[cfg(feature = "opentelemetry")]
pub(crate) fn link(span: &tracing::Span, headers: &crate::message::Headers) {
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    if let Some(producer) = headers.get("traceparent").and_then(|text| parse(text)) {
        span.add_link(producer);
    }
}

/// Without the feature `opentelemetry` there is nothing to link to.
#[cfg(not(feature = "opentelemetry"))]
pub(crate) const fn link(_span: &tracing::Span, _headers: &crate::message::Headers) {}

/// Reads a `traceparent` of the first version.
#[cfg(feature = "opentelemetry")]
fn parse(text: &str) -> Option<opentelemetry::trace::SpanContext> {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

    let mut parts = text.split('-');
    let (Some("00"), Some(trace), Some(span), Some(flags), None) = (
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    ) else {
        return None;
    };
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}
