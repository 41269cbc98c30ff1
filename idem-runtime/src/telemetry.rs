//! What an operator sees: spans, logs and counts. Never a key or a payload.

use crate::error::Error;
use crate::outcome::Outcome;
use crate::store::Store;

/// Logs and counts the end of a call.
pub(crate) fn ended<DB: Store, T, R, E>(
    scope: &'static str,
    ended: &Result<Outcome<T, R>, Error<E>>,
) {
    let outcome = match ended {
        Ok(Outcome::Executed(_)) => "executed",
        Ok(Outcome::Replayed(_)) => "replayed",
        Err(error) => error.label(),
    };
    tracing::debug!(scope, outcome, db.system.name = DB::SYSTEM, "handled");
}

/// The W3C trace context of the current span.
pub(crate) const fn traceparent() -> Option<String> {
    None
}
