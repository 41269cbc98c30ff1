//! Keeps our statements out of sqlx's log.
//!
//! They carry keys, results and events as literals, and sqlx logs the whole text of a statement
//! that takes longer than a second, at WARN. A payment must not turn up in a log because a disk was
//! slow.

use std::future::Future;

use tracing::Dispatch;
use tracing::instrument::WithSubscriber as _;

/// Runs one of our statements unseen by the `tracing` subscriber.
///
/// Programs that log through the crate `log` alone have no subscriber to keep away: there the
/// pool's `log_slow_statements(LevelFilter::Off, ..)` is what helps.
pub(crate) async fn unlogged<F: Future>(statement: F) -> F::Output {
    if tracing::dispatcher::has_been_set() {
        statement.with_subscriber(Dispatch::none()).await
    } else {
        // Setting even a scoped subscriber would end the forwarding to `log` for the whole program.
        statement.await
    }
}
