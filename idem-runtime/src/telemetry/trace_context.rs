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
