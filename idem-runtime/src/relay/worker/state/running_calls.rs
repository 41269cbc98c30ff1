//! The calls of the publisher, as tasks.

use std::collections::HashMap;
use std::future::Future;

use tokio::task::{AbortHandle, JoinSet};

use crate::relay::calls::NoVerdict;
use crate::statement::resume;

/// Each is known by the number of its batch.
#[derive(Debug, Default)]
pub(crate) struct RunningCalls {
    tasks: JoinSet<(u64, NoVerdict)>,
    handles: HashMap<u64, AbortHandle>,
}

impl RunningCalls {
    pub(crate) fn spawn(
        &mut self,
        batch: u64,
        call: impl Future<Output = NoVerdict> + Send + 'static,
    ) {
        let handle = self.tasks.spawn(async move { (batch, call.await) });
        self.handles.insert(batch, handle);
    }

    /// Drops a call that was given up, at its next await.
    pub(crate) fn abort(&mut self, batch: u64) {
        if let Some(handle) = self.handles.remove(&batch) {
            handle.abort();
        }
    }

    /// The next call that ends by itself, and how. It can be dropped and asked again.
    pub(crate) async fn next(&mut self) -> Option<(u64, NoVerdict)> {
        loop {
            match self.tasks.join_next().await? {
                Ok((batch, how)) => {
                    self.handles.remove(&batch);
                    return Some((batch, how));
                }
                Err(error) if error.is_cancelled() => {}
                Err(error) => resume(error),
            }
        }
    }
}
