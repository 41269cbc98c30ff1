//! What an operator sees: a span and a count for each call. Never a key or a payload.

mod batch;
pub(crate) mod consumer;
#[cfg(feature = "metrics")]
pub(crate) mod metrics;
mod redacted;
pub(crate) mod relay;
mod trace_context;
pub(crate) mod unlogged;

use std::any::type_name;
use std::future::Future;

use tracing::field::Empty;
use tracing::instrument::Instrumented;
use tracing::{Instrument as _, Span};

pub(crate) use self::batch::BatchTelemetry;
pub(crate) use self::redacted::Redacted;
pub(crate) use self::trace_context::{link, traceparent};
use crate::error::Error;
use crate::outcome::Outcome;

/// One call, from its first poll to its end, or to the drop that cuts it short.
#[derive(Debug)]
pub(crate) struct CallTelemetry {
    span: Span,
    scope: &'static str,
    attempts: u32,
    ended: bool,
    #[cfg(feature = "metrics")]
    started: std::time::Instant,
}

impl CallTelemetry {
    pub(crate) fn start(keyed: bool, scope: &'static str, system: &'static str) -> Self {
        Self {
            span: span(keyed, scope, system),
            scope,
            attempts: 0,
            ended: false,
            #[cfg(feature = "metrics")]
            started: std::time::Instant::now(),
        }
    }

    pub(crate) fn span(&self) -> CallSpan {
        CallSpan(self.span.clone())
    }

    /// The body is about to run, for the first time or again.
    pub(crate) const fn attempt(&mut self) {
        self.attempts += 1;
    }

    pub(crate) fn end<T, R, E>(&mut self, ended: &Result<Outcome<T, R>, Error<E>>) {
        match ended {
            Ok(_) => self.close(outcome(ended), None),
            Err(error) => self.fail(error),
        }
        self.count(outcome(ended));
    }

    fn fail<E>(&mut self, error: &Error<E>) {
        self.warn(error);
        self.close(
            error.label(),
            Some(match error {
                Error::Handler { .. } => type_name::<E>(),
                error => error.label(),
            }),
        );
    }

    /// Says what an operator should know of.
    fn warn<E>(&self, error: &Error<E>) {
        if error.is_alarming() {
            let (scope, outcome) = (self.scope, error.label());
            tracing::warn!(parent: &self.span, idem.scope = scope, idem.outcome = outcome, "not handled");
        }
    }

    fn record(&mut self, outcome: &'static str, error: Option<&'static str>) {
        self.close(outcome, error);
        self.count(outcome);
    }

    /// Says in the span how it ended.
    fn close(&mut self, outcome: &'static str, error: Option<&'static str>) {
        self.ended = true;
        self.span.record("idem.outcome", outcome);
        if self.attempts > 0 {
            self.span.record("idem.attempts", self.attempts);
        }
        if let Some(error) = error {
            self.span.record("error.type", error);
            #[cfg(feature = "opentelemetry")]
            self.span.record("otel.status_code", "ERROR");
        }
        tracing::debug!(parent: &self.span, idem.scope = self.scope, idem.outcome = outcome, "ended");
    }

    /// Counts one delivery.
    fn count(&self, outcome: &'static str) {
        #[cfg(feature = "metrics")]
        metrics::ended(self.scope, outcome, self.started.elapsed());
        #[cfg(not(feature = "metrics"))]
        let _ = (self, outcome);
    }
}

/// The label of how a delivery ended.
const fn outcome<T, R, E>(ended: &Result<Outcome<T, R>, Error<E>>) -> &'static str {
    match ended {
        Ok(Outcome::Executed(_)) => "executed",
        Ok(Outcome::Replayed(_)) => "replayed",
        Err(error) => error.label(),
    }
}

impl Drop for CallTelemetry {
    fn drop(&mut self) {
        match interrupted() {
            _ if self.ended => {}
            "panicked" => self.record("panicked", Some("panic")),
            outcome => self.record(outcome, None),
        }
    }
}

/// How a call ends that is dropped now.
fn interrupted() -> &'static str {
    if std::thread::panicking() {
        "panicked"
    } else {
        "cancelled"
    }
}

/// The span of a call, for what runs inside of it.
#[derive(Debug)]
pub struct CallSpan(Span);

impl CallSpan {
    /// Runs `future` in the span, so that its log lines can be told from those of other deliveries.
    pub fn within<F: Future>(self, future: F) -> Instrumented<F> {
        future.instrument(self.0)
    }
}

/// The span with what is known at its start; the rest is recorded at its end.
macro_rules! span {
    ($name:literal, $kind:literal, $scope:ident, $system:ident $(, $field:literal = $value:expr)*) => {{
        #[cfg(not(feature = "opentelemetry"))]
        let span = tracing::info_span!(
            $name, $($field = $value,)* db.system.name = $system, idem.scope = $scope,
            idem.outcome = Empty, idem.attempts = Empty, "error.type" = Empty,
        );
        #[cfg(feature = "opentelemetry")]
        let span = tracing::info_span!(
            $name, $($field = $value,)* db.system.name = $system, idem.scope = $scope,
            idem.outcome = Empty, idem.attempts = Empty, "error.type" = Empty,
            otel.name = format_args!(concat!($name, " {}"), $scope), otel.kind = $kind, otel.status_code = Empty,
        );
        span
    }};
}

/// The handler of a delivery is what OpenTelemetry calls a process operation. Which broker it came
/// from is the consumer's to know: `messaging.system` and `messaging.destination.name` can be
/// recorded on the span from the body.
fn span(keyed: bool, scope: &'static str, system: &'static str) -> Span {
    if keyed {
        span!(
            "process",
            "consumer",
            scope,
            system,
            "messaging.operation.type" = "process",
            "messaging.operation.name" = "process",
            "messaging.system" = Empty,
            "messaging.batch.message_count" = Empty,
            "messaging.destination.name" = Empty
        )
    } else {
        span!("transaction", "internal", scope, system)
    }
}
