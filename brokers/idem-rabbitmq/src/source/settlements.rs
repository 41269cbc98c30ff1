//! What RabbitMQ has taken of what was settled, and the end of the connection after that.

use std::sync::atomic::{AtomicU64, Ordering};

use lapin::options::BasicQosOptions;
use lapin::{Channel, Connection, Consumer};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, watch};

use crate::connector::close;

/// What is open while something can be settled.
pub(super) struct Open {
    pub(super) connection: Connection,
    /// When it is dropped before the connection is closed, it is cancelled. RabbitMQ then puts what
    /// is on its way to it back at once, before the rest of what was not settled, and out of order.
    pub(super) consumer: Consumer,
}

/// Makes sure that settlements have arrived. The link and each of its deliveries have it; the last one
/// closes the connection.
pub(super) struct Settlements {
    channel: Channel,
    /// `None` once it is dropped.
    open: Option<Open>,
    prefetch: u16,
    /// How many were sent.
    sent: AtomicU64,
    /// How many of them RabbitMQ has taken for sure.
    taken: Mutex<u64>,
    /// Whether the source was asked to stop.
    stopped: watch::Receiver<bool>,
}

impl Settlements {
    pub(super) fn new(
        channel: Channel,
        prefetch: u16,
        open: Open,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        Self {
            channel,
            open: Some(open),
            prefetch,
            sent: AtomicU64::new(0),
            taken: Mutex::new(0),
            stopped,
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Waits until RabbitMQ has taken a settlement that was just sent.
    ///
    /// AMQP 0.9.1 has no answer to an ack. But a channel does one thing after the other, so the
    /// answer to a question that is asked after the ack says that the ack was taken. The question
    /// that changes nothing is to set the same prefetch again. One is enough for all that were sent
    /// before it.
    pub(super) async fn taken(&self) -> lapin::Result<()> {
        let this = self.sent.fetch_add(1, Ordering::SeqCst) + 1;
        let mut taken = self.taken.lock().await;
        if *taken >= this {
            return Ok(());
        }
        let all = self.sent.load(Ordering::SeqCst);
        let options = BasicQosOptions::default();
        self.channel.basic_qos(self.prefetch, options).await?;
        *taken = all;
        Ok(())
    }
}

impl Drop for Settlements {
    fn drop(&mut self) {
        // Without a runtime there is no connection any more.
        if let (Some(open), Ok(runtime)) = (self.open.take(), Handle::try_current()) {
            runtime.spawn(async move {
                close(&open.connection).await;
                drop(open.consumer);
            });
        }
    }
}
