//! What RabbitMQ has taken of what was settled.

use std::sync::atomic::{AtomicU64, Ordering};

use lapin::Channel;
use lapin::options::BasicQosOptions;
use tokio::sync::{Mutex, watch};

/// Makes sure that settlements have arrived.
pub(super) struct Settlements {
    channel: Channel,
    prefetch: u16,
    /// How many were sent.
    sent: AtomicU64,
    /// How many of them RabbitMQ has taken for sure.
    taken: Mutex<u64>,
    /// Whether the source was asked to stop.
    stopped: watch::Receiver<bool>,
}

impl Settlements {
    pub(super) fn new(channel: Channel, prefetch: u16, stopped: watch::Receiver<bool>) -> Self {
        Self {
            channel,
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
