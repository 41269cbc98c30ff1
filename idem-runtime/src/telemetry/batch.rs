//! The span of a call that takes many deliveries, and a count for each of them.

use super::{CallSpan, CallTelemetry, interrupted, outcome};
use crate::error::{BatchEntry, Error};

/// One call of a batch handler.
#[derive(Debug)]
pub(crate) struct BatchTelemetry {
    call: CallTelemetry,
    deliveries: usize,
}

impl BatchTelemetry {
    pub(crate) fn start(scope: &'static str, system: &'static str, deliveries: usize) -> Self {
        let call = CallTelemetry::start(true, scope, system);
        call.span
            .record("messaging.batch.message_count", deliveries as u64);
        Self { call, deliveries }
    }

    pub(crate) fn span(&self) -> CallSpan {
        self.call.span()
    }

    /// The body is about to run, for the first time or again.
    pub(crate) const fn attempt(&mut self) {
        self.call.attempt();
    }

    pub(crate) fn end<T, R, E>(&mut self, ended: &Result<Vec<BatchEntry<T, R, E>>, Error<E>>) {
        match ended {
            Ok(entries) => {
                let outcomes = || entries.iter().map(outcome);
                let of_all = ["executed", "replayed"]
                    .into_iter()
                    .find(|shown| outcomes().any(|outcome| outcome == *shown))
                    .or_else(|| outcomes().next());
                self.call.close(of_all.unwrap_or("replayed"), None);
                for entry in entries {
                    if let Err(error) = entry {
                        self.call.warn(error);
                    }
                    self.call.count(outcome(entry));
                }
            }
            Err(error) => {
                self.call.fail(error);
                for _ in 0..self.deliveries {
                    self.call.count(error.label());
                }
            }
        }
    }
}

/// The call counts one delivery of a batch that is dropped.
impl Drop for BatchTelemetry {
    fn drop(&mut self) {
        if !self.call.ended {
            for _ in 1..self.deliveries {
                self.call.count(interrupted());
            }
        }
    }
}
