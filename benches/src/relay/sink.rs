//! A publisher that confirms at once.

use std::sync::Arc;
use std::time::Instant;

use idem_runtime::{EventId, PublishBatch, Publisher};
use tokio::sync::watch;

#[derive(Clone)]
pub(super) struct Sink {
    confirmed: Arc<watch::Sender<u64>>,
    /// When each message came, if that is asked for.
    times: Option<tokio::sync::mpsc::UnboundedSender<(EventId, Instant)>>,
}

impl Sink {
    pub(super) fn new() -> Self {
        Self {
            confirmed: Arc::new(watch::Sender::new(0)),
            times: None,
        }
    }

    pub(super) fn with_times(
        times: tokio::sync::mpsc::UnboundedSender<(EventId, Instant)>,
    ) -> Self {
        Self {
            times: Some(times),
            ..Self::new()
        }
    }

    pub(super) fn confirmed(&self) -> u64 {
        *self.confirmed.borrow()
    }

    /// Ends when that many messages were confirmed in all.
    pub(super) async fn reached(&self, count: u64) {
        let mut confirmed = self.confirmed.subscribe();
        let _ = confirmed.wait_for(|confirmed| *confirmed >= count).await;
    }
}

impl Publisher for Sink {
    async fn publish(&self, batch: PublishBatch) {
        if let Some(times) = &self.times {
            let now = Instant::now();
            for message in batch.messages() {
                let _ = times.send((message.id, now));
            }
        }
        let count = batch.messages().len();
        for index in 0..count {
            batch.verdict(index, Ok(()));
        }
        self.confirmed
            .send_modify(|confirmed| *confirmed += count as u64);
    }
}
