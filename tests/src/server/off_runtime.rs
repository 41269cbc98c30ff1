//! Asynchronous work for callers that may be on any runtime, or on none.

use std::thread;

use super::Error;

/// Runs a future to its end on a thread and a runtime of its own: it works wherever it is called
/// from, also in a test whose clock is paused.
pub(super) fn off_runtime<T, F>(future: impl FnOnce() -> F + Send) -> Result<T, Error>
where
    T: Send,
    F: Future<Output = Result<T, Error>>,
{
    let run = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::io("a runtime", e))?
            .block_on(future())
    };
    thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|_| {
        Err(Error::Failed(
            "the thread that drives the server panicked".into(),
        ))
    })
}
