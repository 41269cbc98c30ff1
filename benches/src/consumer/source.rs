//! Sources of the bench: one in memory, and one that counts what another one's deliveries are
//! acknowledged.

use std::sync::Arc;
use std::time::Duration;

use idem_runtime::{Arrival, Delivery, Incoming, Partition, SettleError, Source, SourceError};
use tokio::sync::watch;

use super::backlog::{Progress, Queue};

/// The type of all messages.
pub(crate) const KIND: &str = "payment";

/// Hands out what is in memory as fast as it is asked.
pub(crate) struct Local {
    queue: Queue,
    stopped: watch::Sender<bool>,
}

impl Local {
    pub(crate) fn new(queue: Queue) -> Self {
        Self {
            queue,
            stopped: watch::Sender::new(false),
        }
    }
}

/// What is in memory; to acknowledge it is to be counted.
pub(crate) struct Taken(Incoming);

impl Source for Local {
    type Delivery = Taken;

    async fn receive(&self) -> Option<Result<Arrival<Taken>, SourceError>> {
        let Some(waiting) = self.queue.take() else {
            let mut stopped = self.stopped.subscribe();
            // Its sender is here.
            let _ = stopped.wait_for(|stopped| *stopped).await;
            return None;
        };
        let mut incoming = Incoming::new(waiting.body);
        incoming.id = waiting.id;
        incoming.key = Some(waiting.key);
        incoming.kind = KIND.into();
        incoming.topic = "payments".into();
        Some(Ok(Arrival::Delivery(Taken(incoming))))
    }

    fn stop(&self) {
        self.stopped.send_replace(true);
    }
}

impl Delivery for Taken {
    fn incoming(&self) -> &Incoming {
        &self.0
    }

    async fn ack(self) -> Result<(), SettleError> {
        Ok(())
    }

    async fn give_back(self, _after: Duration) -> Result<(), SettleError> {
        Err(SettleError::unconfirmed("nothing goes back here"))
    }

    async fn reject(self, _reason: &str) -> Result<(), SettleError> {
        Err(SettleError::unconfirmed("nothing is rejected here"))
    }
}

/// Counts acknowledgements.
pub(crate) struct Counted<S> {
    pub(crate) source: S,
    pub(crate) progress: Arc<Progress>,
}

/// A delivery whose acknowledgement is counted.
pub(crate) struct CountedDelivery<D> {
    delivery: D,
    progress: Arc<Progress>,
}

impl<S: Source> Source for Counted<S> {
    type Delivery = CountedDelivery<S::Delivery>;

    async fn receive(&self) -> Option<Result<Arrival<Self::Delivery>, SourceError>> {
        self.progress.begin();
        match self.source.receive().await? {
            Ok(Arrival::Delivery(delivery)) => Some(Ok(Arrival::Delivery(CountedDelivery {
                delivery,
                progress: Arc::clone(&self.progress),
            }))),
            Ok(_) => Some(Err(SourceError::permanent("its source has partitions"))),
            Err(error) => Some(Err(error)),
        }
    }

    fn stop(&self) {
        self.source.stop();
    }

    fn keeps_order(&self) -> bool {
        self.source.keeps_order()
    }
}

impl<D: Delivery> Delivery for CountedDelivery<D> {
    fn incoming(&self) -> &Incoming {
        self.delivery.incoming()
    }

    fn partition(&self) -> Partition {
        self.delivery.partition()
    }

    fn time_left(&self) -> Option<Duration> {
        self.delivery.time_left()
    }

    async fn ack(self) -> Result<(), SettleError> {
        let acked = self.delivery.ack().await;
        if acked.is_ok() {
            self.progress.done();
        }
        acked
    }

    async fn give_back(self, after: Duration) -> Result<(), SettleError> {
        self.delivery.give_back(after).await
    }

    async fn reject(self, reason: &str) -> Result<(), SettleError> {
        self.delivery.reject(reason).await
    }

    async fn extend(&self) -> Result<Option<Duration>, SettleError> {
        self.delivery.extend().await
    }
}
